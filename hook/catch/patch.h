// SPDX-License-Identifier: Apache-2.0
//
// Rewrites system-call sites into jumps. There are two forms. Neither touches a stack, page 0, or
// an instruction that may itself be the target of a jump.
//
//   seven bytes  b8 nr nr nr nr 0f 05   mov $nr,%eax; syscall
//            ->  ff 24 25 lo hi 06 00   jmp *0x6hilo   (pointer table at 0x60000)
//
//       A jump to the old `syscall` finds 06, an invalid instruction: SIGILL enters the hook with
//       %eax as it is. (The form is gVisor's.) Variants, for what compilers put between the number
//       and `syscall`:
//         48 8b 74 24 08 0f 05               mov 8(%rsp),%rsi; syscall
//         bf 9c ff ff ff 0f 05               mov $AT_FDCWD,%edi; syscall
//         b8 nr nr nr nr 8b 7c 24 04 0f 05   mov $nr,%eax; mov 4(%rsp),%edi; syscall
//                                            (06 stands before the second mov)
//         b8 nr nr nr nr 8b 7d a0 0f 05      mov $nr,%eax; mov -0x60(%rbp),%edi; syscall
//                                            (close in getifaddrs of glibc)
//         8b 7c 24 08 31 c0 0f 05            mov 8(%rsp),%edi; xor %eax,%eax; syscall
//                                            (read of glibc; only if no branch of its function
//                                            leads inside)
//
//   two bytes    0f 05                  syscall
//            ->  eb rel8                jmp to an islet
//
//       The islet is seven bytes of the padding between two functions, which .eh_frame proves to
//       belong to none; it holds jmp *0x6hilo. The length is the same, so nothing around the site
//       changes.
//
// What is proven: a site that Syscall User Dispatch has just trapped is an instruction. Without a
// trap (the patch tier) only these byte sequences are taken: `mov $nr,%eax` with a number of the
// table, followed by `syscall`, directly or after the mov by %rbp; and a `syscall` that is followed
// by glibc's own compare or preceded by `xor %eax,%eax`. The displaced bytes before the `syscall`
// could still be the end of a longer instruction: so they are not taken after a REX prefix, nor
// where they could be the disp8 and imm32 of one.
//
// With a trap, a site is patched once it has trapped a few times. After ten traps in all, the sites
// of libc that most programs use are patched together (hook/catch/warm.h). Patching every site
// would cost more than the calls of most processes.
#pragma once

#include "hook/catch/context.h"
#include "hook/catch/image.h"
#include "hook/catch/warm.h"

namespace mino::hook {

struct Range {
  u64 begin, end;
  bool holds(u64 address) const { return address >= begin && address < end; }
  bool meets(u64 from, u64 bytes) const {
    return bytes && from < end && (from >= begin || bytes > begin - from);
  }
};

// For the patch tier: patches what is mapped executable now (single-threaded, at startup), and what
// is mapped later.
void patch_loaded_images();
void patch_range(u64 begin, u64 end);

// A site that has just trapped with this number in %eax.
void patch_when_hot(u64 site, u64 number);

// Tells whether other threads may execute what is patched from here on. In a forked child there are
// none.
void expect_other_threads(bool others);

// Whether there are other threads, or were any since the process began.
bool has_other_threads();

// The following are for hook/catch/disarm.cc, which holds patch_lock and has no other threads.

struct Instruction {  // a `syscall`
  u64 at;
  u32 begins;  // bit n: another instruction begins n bytes before it
};
// Rewrites these, which are in ascending order and in one image: into a jump if the surrounding
// bytes have a form that allows it, otherwise into an invalid instruction (ud2), which enters the
// hook by SIGILL. False if that cannot be done; what has been rewritten by then works.
bool rewrite_all(const Image& image, const Instruction* instructions, u32 count);

// Puts `syscall` back in place of the invalid instructions, for when the trap is armed.
void restore_replaced();

// The patcher's own memory, at low addresses; empty while it has none.
Range patcher_memory();

// The number of bytes of code that a jump of ours at p has displaced, or 0 if there is none.
u32 bytes_displaced(const u8* p);

// Between these two nothing is half patched. For fork, which copies the text.
void pause_patching();
void resume_patching();

// For SIGILL: true if it came from a patched or replaced site.
bool on_illegal_instruction(UContext* uc);

extern u32 patched_sites;

// The warm sites that this process has inherited or found. The inherited text is parsed only when
// it is needed. It stays where the kernel has put it; if the program overwrites it, no sites are
// known.
void inherit_warm_sites(const char* text);
const WarmSites& warm_sites();

}  // namespace mino::hook
