// SPDX-License-Identifier: Apache-2.0
//
// User namespaces. They are made on the host. A process in a new one has no privileges over the
// device any more, except over what it makes there from then on: with the linux engine, network
// namespaces. Used by the handlers of unshare, setns, fork and of changes of credentials.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// The calling process has got into a new user namespace on the host (unshare or clone). `spaces`
// are CLONE_NEWUSER, CLONE_NEWNET or both: what the device makes for it as well. 0 or -errno.
long enter_new_users(ThreadState* ts, u64 spaces);
// It has joined an existing one: the device only takes the privileges away.
void leave_users(ThreadState* ts);

}  // namespace mino::hook
