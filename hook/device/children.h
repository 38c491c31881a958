// SPDX-License-Identifier: Apache-2.0
//
// Children that were born with a session, until they have been waited for.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A child born with a session has `pid`; or is no more: then returns when its session has ended, so
// that what it held is free, as after a native wait.
void remember_child(Process* process, long pid);
void await_end_of_child(ThreadState* ts, long pid);

}  // namespace mino::hook
