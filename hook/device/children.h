// SPDX-License-Identifier: Apache-2.0
//
// Children that were born with a session and have not been waited for yet. The calls that make
// processes add them; the calls that wait for processes remove them.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// remember_child: a child that was born with a session has this pid.
//
// await_end_of_child: the child with this pid has been waited for. Returns when its session has
// ended too, so that what it held is free, as after a native wait.
void remember_child(Process* process, long pid);
void await_end_of_child(ThreadState* ts, long pid);

}  // namespace mino::hook
