// SPDX-License-Identifier: Apache-2.0
//
// Rewriting system-call sites into jumps. Two forms, neither of which touches a stack, page 0, or
// an instruction that could be a jump target of its own:
//
//   seven bytes   b8 nr nr nr nr 0f 05      mov $nr,%eax; syscall
//             ->  ff 24 25 lo hi 06 00      jmp *0x6hilo                   pointer table at 0x60000
//                 A jump to the old `syscall` finds 06, an invalid instruction: SIGILL enters the
//                 hook with %eax as it is. (The form is gVisor's.) Variants, for what compilers put
//                 between number and `syscall`:
//                   48 8b 74 24 08 0f 05                mov 8(%rsp),%rsi; syscall
//                   bf 9c ff ff ff 0f 05                mov $AT_FDCWD,%edi; syscall
//                   b8 nr nr nr nr 8b 7c 24 04 0f 05    … mov 4(%rsp),%edi; syscall   (06 stands
//                                                       before the mov)
//                   b8 nr nr nr nr 8b 7d a0 0f 05       … mov -0x60(%rbp),%edi; syscall: the close
//                                                       of glibc's getifaddrs
//                   8b 7c 24 08 31 c0 0f 05             mov 8(%rsp),%edi; xor %eax,%eax; syscall:
//                                                       glibc's read; only if no branch of its
//                                                       function leads inside
//   two bytes     0f 05                     syscall
//             ->  eb rel8                   jmp to an islet: seven bytes of the padding between two
//             functions,
//                 which .eh_frame proves to belong to none, holding  jmp *0x6hilo. Same length, so
//                 nothing around it changes.
//
// What is proven: a site that Syscall User Dispatch has just trapped is an instruction. Without a
// trap (the patch tier) only these byte sequences are taken: `mov $nr,%eax` with a number of the
// table, then, or after the mov by %rbp, `syscall`; and `syscall` followed by glibc's own compare
// or preceded by `xor %eax,%eax`. What is displaced before the `syscall` could still be the end of
// a longer instruction: not behind a REX prefix, nor where it could be the disp8 and imm32 of one.
//
// With a trap, a site is patched when it has trapped a few times. After ten traps in all those of
// libc that most programs use are patched together (hook/catch/warm.h). To patch all would cost more than
// most processes' calls.
#pragma once

#include "hook/catch/context.h"
#include "hook/catch/image.h"
#include "hook/catch/warm.h"

namespace mino::hook {

// Without a trap: patches what is mapped executable now (single-threaded, at start), and what is
// mapped later.
void patch_loaded_images();
void patch_range(u64 begin, u64 end);

// A site that has just trapped with this number in %eax.
void patch_when_hot(u64 site, u64 number);

// From here on other threads may execute what is patched; in a forked child, none any more.
void expect_other_threads(bool others);

// Whether there are, or were, since the process began.
bool has_other_threads();

// For hook/catch/disarm.cc, which holds patch_lock and has no other threads.

struct Instruction {  // a `syscall`
  u64 at;
  u32 begins;  // bit n: another instruction begins n bytes before it
};
// Rewrites these, in ascending order and all of one image: into a jump where the bytes around are
// of a form that allows it, else into an invalid instruction (ud2), which enters the hook by
// SIGILL. False if that cannot be done; what has been rewritten until then works.
bool rewrite_all(const Image& image, const Instruction* instructions, u32 count);

// Takes the invalid instructions back, for when the trap is armed.
void restore_replaced();

// The patcher's own memory.
bool is_patcher_memory(u64 address);

// The bytes of code that a jump of ours at p stands for, or 0 if there is none.
u32 bytes_displaced(const u8* p);

// Nothing is half patched between these two: for fork, which copies the text.
void pause_patching();
void resume_patching();

// SIGILL: true if it was ours.
bool on_illegal_instruction(UContext* uc);

extern u32 patched_sites;

// What this process has inherited, or found itself. The text is read when it is needed: it stays
// where the kernel has put it, and if the program writes there, nothing is known.
void inherit_warm_sites(const char* text);
const WarmSites& warm_sites();

}  // namespace mino::hook
