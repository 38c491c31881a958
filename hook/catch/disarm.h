// SPDX-License-Identifier: Apache-2.0
//
// Disarming the trap. Syscall User Dispatch, while armed, costs each call that stays on the host
// about 35 ns. A process of one thread that makes many calls can do without it: once every
// `syscall` instruction in its text has been rewritten (hook/catch/patch.h), there is nothing left
// to trap.
//
// Before the trap is disarmed, all executable mappings are scanned once. Each pair of bytes 0f 05
// within a function that .eh_frame describes is judged by decoding the function from its start: an
// instruction is rewritten, and bytes inside another instruction are left alone. A page whose byte
// pairs cannot be classified (data among code, functions without unwind information) is withheld:
// readable, not executable. If it is executed after all, it becomes executable again, and the trap
// is armed again for good.
//
// The trap is rearmed before there can be text that has not been scanned (mmap, mprotect, shmat,
// personality; madvise, which discards rewritten text), before a second thread starts (a thread
// can arm the trap only for itself), and before a seccomp filter is installed (which may forbid
// arming it). The vDSO is not scanned: its calls concern the clock and stay on the
// host.
#pragma once

#include "abi/syscalls.h"
#include "hook/catch/context.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Disarms the trap if the process allows it. If not, a later attempt follows after more calls.
void try_to_disarm(ThreadState* ts);

// Called before each call that entry.S gives to the dispatcher. entry.S counts calls_left down, and
// gives the last of them to the dispatcher whatever it is.
inline void maybe_disarm(ThreadState* ts) {
  if (ts->calls_left == 0) [[unlikely]]
    try_to_disarm(ts);
}

// The trap is off although settings.sud is on.
bool is_disarmed();

// Arm the trap again if it is disarmed. For good: something that the scan took for data has proved
// to be code.
void rearm();
void rearm_for_good();

// Called before mmap on the host, and before calls of the route kText, which reach the hook only
// while the trap is disarmed.
void before_change_of_text(ThreadState* ts, const abi::Row& row);
// The contents of [begin, begin + bytes) are about to change.
void before_change_of_memory(u64 begin, u64 bytes);

// A replaced instruction was executed. That costs more than the trap (8 and 2 µs on a virtual
// machine), so a program that does it again and again is better off with the trap armed.
void note_illegal_instruction();

// For SIGSEGV: true if a withheld page was executed; it is executable now.
bool on_withheld_page(const SigInfo* info, const UContext* uc);

}  // namespace mino::hook
