// SPDX-License-Identifier: Apache-2.0
//
// Which lane a thread has, and for how long. A thread keeps its lane as long as there are enough.
// When there are not, it may lose the lane between two calls, to a thread that has none; and when
// all are in calls, threads without one borrow: a few lanes of a session are kept for that, each
// for a call at a time, and a call that blocks there gives the lane back every few milliseconds
// (hook/device/turn.h). Used by attach.cc, which says whether the session lives, by handlers that
// change what a lane is, and by fork. Lanes are mapped when they are taken: the address space is
// the program's.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Gives the thread a lane that a lane thread serves, and marks it as in use. 0; -ENETDOWN if the
// device has died; -ENOBUFS or -ENOMEM if no lane can be had, even after some time. `fresh`: no
// thread has had it yet.
long take_lane(ThreadState* ts, bool& fresh);
// The thread is in a call. Has it still got its lane? If so, the lane is in use from now on.
bool resume_lane(ThreadState* ts);
// The end of a call: the lane may go to another thread, and goes if it is borrowed.
void rest_lane(ThreadState* ts);
// Gives the lane back for good.
void give_lane_back(ThreadState* ts);
// The lane stays with the process from which this one was forked.
void lose_lane(ThreadState* ts);
// No other thread may get this lane: on the device it is not like others any more.
void keep_lane(ThreadState* ts);

// For a thread whose session's memory is gone.
void drop_lane_memory(ThreadState* ts);
// For a forked child: the mappings of lanes stay the parent's.
void forget_lane_memory();

}  // namespace mino::hook
