// SPDX-License-Identifier: Apache-2.0
//
// The session: connecting to the device, lanes, and what fork and exec do to them. The first
// offloaded call connects; a program that never needs the device never meets it.
#pragma once

#include "abi/message.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A live session with a lane for this thread: 0, or -ENETDOWN (no device, dead, or no lane left).
long ready(ThreadState* ts);

// Gives the thread's lane back (the thread ends, or its process record is replaced).
void release_lane(ThreadState* ts);

// The device is gone: calls answer errors from now on.
void session_died(Session& session);

bool send_message(const Session& session, const abi::Message& message, int fd = -1, u64 flags = 0);
// One message with up to `want` descriptors; false on anything else (they are closed then).
bool receive_message(int socket, abi::Message& message, int* fds, int want);
void set_receive_timeout(int fd, i64 seconds);
// Lets other processes know a control connection when they see it. In fetching.cc.
void mark_control(int fd);

// Moves a descriptor of the hook's own out of the application's way, marks it, and closes the old
// number. The new number, close-on-exec; or the old one when there is nowhere to go.
int make_private(Process* process, int fd);
void learn_open_limit(Process* process);  // RLIMIT_NOFILE, which poll's count is checked against
void close_private(Process* process, int& fd);

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

// Tells the device that the session will have several processes as its clients.
bool announce_sharing(Process* process);

// A child born with a session has `pid`; or is no more: then returns when its session has ended, so
// that what it held is free, as after a native wait.
void remember_child(Process* process, long pid);
void await_end_of_child(ThreadState* ts, long pid);

// What mmap of an offloaded file shall map instead: a descriptor, which the caller closes, or the
// error. `bytes` is the size that must be mapped, all at once; 0: that file itself knows.
long fetch_mapping(ThreadState* ts, u64 fd, u64& bytes);

// A parcel of the offloaded `fd`, which the caller closes, and the id of the export; or the error.
long fetch_parcel(ThreadState* ts, u64 fd, u64& id);

// exec: the control connection and the placeholder survive it.
void keep_across_exec(Process* process, bool keep);
// In the new image: take the session over again. `socket` and `placeholder` come from MINO_RUN.
void reattach(ThreadState* ts, int socket, int placeholder);

}  // namespace mino::hook
