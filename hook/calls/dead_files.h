// SPDX-License-Identifier: Apache-2.0
//
// What offloaded files are after the device has died: at their numbers on the host, and in the
// epoll sets on the host, there is a socket that has been reset. So the host kernel answers poll,
// select and epoll, for these files and local ones alike. All other calls on them are answered by
// dead_result() (hook/device/call.h). Used by poll.cc, epoll.cc and descriptors.cc. It must not be
// done while the device lives.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

inline bool device_is_dead(const ThreadState* ts) {
  return ts->process->session().status == SessionStatus::kDead;
}

// Puts the broken socket in place of all placeholders of the table, unless that has happened.
void bury_files(ThreadState* ts);

// epoll_ctl on a set, for an offloaded file of the dead device.
long epoll_ctl_dead(ThreadState* ts);

// Dead files are always ready, and some programs do not take notice: they would spin. This delays
// the report, except the first ones in a process and those after a reaction. It ends early when one
// of the `count` entries of `host` is ready, or a signal comes.
void slow_down_dead(ThreadState* ts, pollfd* host, u64 count);

}  // namespace mino::hook
