// SPDX-License-Identifier: Apache-2.0
//
// SIGILL, SIGBUS, SIGSEGV and SIGSYS that kill() and its like have sent, not the program's own
// faults. The kernel never has these signals blocked (hook/catch/on_signal.h), so they are held
// here: until the program unblocks them, waits for them or executes another program; and, while the
// hook is at work, until the call ends. A signal to the process that this thread blocks goes to a
// thread that does not, or waits where all threads find it. Used by the signal handler and the
// calls about signals.
#pragma once

#include "hook/catch/context.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A signal from elsewhere has arrived. If another thread handed it over, that puts the true siginfo
// in place. False if there is nothing to deliver now: the program blocks or ignores it.
bool admit_sent(ThreadState* ts, const SigAction& action, int sig, SigInfo* info);
// Keeps an admitted signal for the end of the call.
void hold_ready(ThreadState* ts, int sig, const SigInfo* info);
// The program's mask has changed: what it no longer blocks is delivered as the call ends.
void look_for_held(ThreadState* ts);
// What is pending for this thread.
u64 held_signals(const ThreadState* ts);
// The program ignores the signal now.
void forget_held(ThreadState* ts, int sig);
void forget_held_in_child(ThreadState* ts);

// Gives the kernel what is held for delivery. The signals must be blocked for real, or the caller
// must expect them at once.
void queue_ready(ThreadState* ts);

// For the time of one call, `signals` are blocked for real, and those that are held are pending, so
// that the call finds them. The program's memory must not be touched meanwhile.
class ReallyBlocked {
 public:
  ReallyBlocked(ThreadState* ts, u64 signals);
  ~ReallyBlocked();
  ReallyBlocked(const ReallyBlocked&) = delete;
  ReallyBlocked& operator=(const ReallyBlocked&) = delete;

 private:
  ThreadState* ts_;
  u64 signals_;
};

// Puts the true siginfo into one that a call has returned, if it is of a signal that was handed
// over.
void take_handed_over(const ThreadState* ts, SigInfo* info);

}  // namespace mino::hook
