// SPDX-License-Identifier: Apache-2.0
//
// Where signal frames go. The kernel's alternate stack of each thread is a stack of the hook, since
// traps and the hook's own faults need one at any moment, whatever has become of the program's. The
// alternate stack that the program has set is kept in its ThreadState. A frame for a handler of the
// program is moved to where the kernel would have put it. Used by the signal handler, by
// sigaltstack and where threads start.
//
// The frame's uc_stack names the hook's stack, because rt_sigreturn gives it to the kernel again.
// After a handler with SS_AUTODISARM that is how the hook learns that it has returned: the size
// that was put there is a little smaller.
#pragma once

#include "hook/catch/context.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// For the calling thread. `adopt`: what the kernel has now is the program's.
void use_signal_stack(ThreadState* ts, bool adopt);

bool on_signal_stack(const ThreadState* ts, u64 address);

// Whether `sp` is on the program's alternate stack, as the kernel sees it.
bool on_alternate_stack(const ThreadState* ts, u64 sp);

// Notes which handlers with SS_AUTODISARM have returned. `bytes` is the size of the kernel's stack.
void settle_alternate_stack(ThreadState* ts, u64 bytes);

// Moves the frame, which lies on the hook's stack and interrupted the context that it holds, to the
// program's, and makes the context enter the handler there with `mask` blocked. False if there is
// no room or no memory.
bool enter_handler(ThreadState* ts, int sig, const SigAction& action, u64 mask, UContext* uc);

}  // namespace mino::hook
