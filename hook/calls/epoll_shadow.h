// SPDX-License-Identifier: Apache-2.0
//
// A copy of what was registered in companion epoll sets: {epoll fd, fd} -> {events, data}. It is
// not read while the device lives. When the device has died, epoll_wait reports EPOLLERR|EPOLLHUP
// for every registered file, as Linux does for connections that were reset. Used by epoll.cc, and
// by handler.cc and descriptors.cc when they close descriptors.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/process.h"

namespace mino::hook {

// After EPOLL_CTL_ADD or EPOLL_CTL_MOD.
void shadow_set(Process* process, u32 epfd, u32 fd, const epoll_event& event);
// After EPOLL_CTL_DEL.
void shadow_remove(Process* process, u32 epfd, u32 fd);
// `fd` was closed; it may be a set or a member.
void shadow_forget_fd(Process* process, u32 fd);
// Fills up to `max` events for a dead set; returns how many.
u32 shadow_report(Process* process, u32 epfd, epoll_event* events, u32 max);

// For a forked child: another thread may have held the lock when the process was copied.
void reset_shadow_lock();

}  // namespace mino::hook
