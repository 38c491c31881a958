// SPDX-License-Identifier: Apache-2.0
//
// The trap at rest. Armed, Syscall User Dispatch costs each call that stays on the host some 35 ns.
// A process of one thread that makes many calls can do without: when every `syscall` instruction of
// its text has been rewritten (hook/catch/patch.h), there is nothing left to trap.
//
// For that all executable mappings are looked through, once. Two bytes 0f 05 in a function that
// .eh_frame knows are judged by decoding it from its beginning: an instruction is rewritten; if
// they lie within another, they are left. The page of those of which that cannot be told (data
// among code, functions without unwind information) is withheld: readable, not executable. If it is
// executed after all, it gets its right back, and the trap is armed again, for good.
//
// The trap is armed again before there can be text that has not been looked through (mmap,
// mprotect, shmat, personality; madvise, which takes away what has been rewritten), before a second
// thread, and before a seccomp filter. The vDSO is not looked at: its calls are of the clock, and
// the host's.
#pragma once

#include "abi/syscalls.h"
#include "hook/catch/context.h"
#include "hook/state/thread.h"

namespace mino::hook {

void try_to_disarm(ThreadState* ts);

// Before each call that entry.S gives to the dispatcher, as it does with the last of those.
inline void maybe_disarm(ThreadState* ts) {
  if (ts->calls_left == 0) [[unlikely]]
    try_to_disarm(ts);
}

// The trap is off although settings.sud is on.
bool is_disarmed();

// Arms the trap again if it is at rest; for good: what has been looked at may be text all the same.
void rearm();
void rearm_for_good();

// Before the host's mmap, and calls of the route kText, which are asked about only at rest.
void before_change_of_text(ThreadState* ts, const abi::Row& row);
// [begin, begin + bytes) gets another content.
void before_change_of_memory(u64 begin, u64 bytes);

// A replaced instruction was executed. That costs more than the trap (8 and 2 us on a virtual
// machine), so a program that does so again and again is better off armed.
void note_illegal_instruction();

// SIGSEGV: true if a withheld page was executed, and can be now.
bool on_withheld_page(const SigInfo* info, const UContext* uc);

}  // namespace mino::hook
