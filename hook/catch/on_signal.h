// SPDX-License-Identifier: Apache-2.0
//
// Signals under the hook. The application's handlers are kept in Process::actions; the kernel runs
// mino_signal, which decides. Theory of operation:
//   - Outside the hook: set the mask the application asked for, jump to its handler.
//   - Inside the hook: the signal is queued again, blocked, and `deferred` is set. A waiting call
//   is
//     interrupted (on the device too) and ends. On leaving, the hook opens the mask on the
//     application's stack (the window, entry.S); the kernel delivers; the handler's context is
//     rewritten to the application's, just after, or (restart) just before, its system call. The
//     handler therefore sees what it would see without the hook, may siglongjmp, unwind
//     (pthread_cancel), or return.
//   - SIGSEGV, SIGBUS, SIGILL, SIGSYS are never blocked for real (kSynchronous): fault-safe copies,
//   patched sites
//     and Syscall User Dispatch need them. What the application thinks of them is remembered and
//     reported.
//   - A thread that blocks everything and gives up its alternate stack is about to end, and may
//   give
//     up its stack before its last call (Go). A trap's frame must not be written there: from then
//     on traps have a stack of the hook's.
#pragma once

#include "hook/base/raw.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// rt_sigaction, in the kernel.
long kernel_sigaction(int sig, const SigAction* act, SigAction* old);
// The action that the kernel gets for a handler of the program, whose SA_… flags are these.
SigAction kernel_action(u64 flags);
// What the linux engine's session process passes on (engine/linux/delivery.h) cannot say that a
// kernel has sent it: the code stands in si_errno. True if it did.
bool restore_code(int sig, int& error, int& code);

void install_signal_handlers(Process* process);
void open_synchronous_signals(ThreadState* ts);  // what was inherited blocked

// A PTRACE_TRACEME that waits for its moment takes effect; false: none waits.
bool be_traced(ThreadState* ts);

}  // namespace mino::hook
