// SPDX-License-Identifier: Apache-2.0
//
// Signals under the hook. The program's handlers are kept in Process::actions. The kernel calls
// mino_signal (entry.S), and this code decides what happens. Theory of operation:
//   - Outside the hook: set the mask that the program asked for and jump to its handler.
//   - Inside the hook: the signal is queued again, blocked, and `deferred` is set. A waiting call
//     is interrupted (on the device too) and ends. On leaving, the hook unblocks the signal on the
//     program's stack (the signal window, entry.S) and the kernel delivers it. The handler's
//     context is changed to that of the program just after its system call or, for a restart, just
//     before it. So the handler sees what it would see without the hook, and may siglongjmp,
//     unwind (pthread_cancel), or return.
//   - SIGSEGV, SIGBUS, SIGILL and SIGSYS are never really blocked (kSynchronous): fault-safe
//     copies, patched sites and Syscall User Dispatch need them. Whether the program has blocked
//     them is remembered and reported, and those that others send are held
//     (hook/catch/held_signals.h).
//   - The kernel puts frames on a stack of the hook, if they must not be on the program's present
//     one; those for its handlers are moved to where it wants them (hook/catch/signal_stack.h).
#pragma once

#include "hook/base/raw.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// rt_sigaction on the host kernel.
long kernel_sigaction(int sig, const SigAction* act, SigAction* old);
// The action that the kernel gets for a handler of the program with these SA_… flags.
SigAction kernel_action(u64 flags);
// Signals that the session process of the linux engine passes on (engine/linux/delivery.h) cannot
// carry a code of the kernel's; it is in si_errno instead. Moves it to its place; true if there was
// one.
bool restore_code(int sig, int& error, int& code);

// The same for one of kSynchronous, of which the program wants this.
SigAction synchronous_action(const SigAction& wanted);

void install_signal_handlers(Process* process);
void open_synchronous_signals(ThreadState* ts);  // those that were inherited blocked

// Around an execve: the signals that are never really blocked, or that the hook handles, are in the
// state that the program has asked for, so that the next program inherits it. Between the two the
// hook must not touch memory that may fault. To be undone if the execve fails.
void show_synchronous_signals(ThreadState* ts);
void hide_synchronous_signals(ThreadState* ts);

// Makes a pending PTRACE_TRACEME take effect. False if none is pending.
bool be_traced(ThreadState* ts);

}  // namespace mino::hook
