// SPDX-License-Identifier: Apache-2.0
//
// The device's half of fork. The device forks the proxy before the host forks the program, so that
// a child has its session before it exists. Used by hook/calls/fork.cc, and by
// hook/device/sharing.h for a thread that unshares its table.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// The session of a child, until the child exists. prepare_fork() makes it: the device forks the
// proxy, and `child` describes the new session.
struct ForkedSession {
  bool present = false;
  Session session{};
};
long prepare_fork(ThreadState* ts, ForkedSession& child);
// prepare_fork() in two steps. If `asked`, receive_fork() takes the answer into whichever
// descriptor table the thread has by then; the caller holds the table's fork_lock until it unlocks
// it.
long begin_fork(ThreadState* ts, bool& asked);
void receive_fork(Process* process, ForkedSession& child);
// For a child that goes on in the caller's memory: only the descriptors are the caller's.
void close_child_files(Process* process, Session& session);
void finish_fork_in_parent(Process* process, ForkedSession& child);
void finish_fork_in_child(ThreadState* ts, ForkedSession& child);

}  // namespace mino::hook
