// SPDX-License-Identifier: Apache-2.0
//
// The device's half of fork: it forks the proxy before the host forks the program, so that a child has
// its session before it exists.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// fork, seen from both sides. prepare: the device forks the proxy; `child` describes the new
// session.
struct ForkedSession {
  bool present = false;
  Session session{};
};
long prepare_fork(ThreadState* ts, ForkedSession& child);
// The same in two steps: when `asked`, receive_fork() takes the answer, into whichever descriptor
// table the thread has by then, and the table's fork_lock is held until the caller lets go of it.
long begin_fork(ThreadState* ts, bool& asked);
void receive_fork(Process* process, ForkedSession& child);
void finish_fork_in_parent(Process* process, ForkedSession& child);
void finish_fork_in_child(ThreadState* ts, ForkedSession& child);

}  // namespace mino::hook
