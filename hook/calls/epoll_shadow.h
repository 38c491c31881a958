// SPDX-License-Identifier: Apache-2.0
//
// A copy of what was registered in companion epoll sets: {epoll fd, fd} -> {events, data}. Never
// consulted while the device lives; when it has died, epoll_wait tells every registered socket's
// owner EPOLLERR|EPOLLHUP, as Linux does for connections that were reset.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/process.h"

namespace mino::hook {

void shadow_set(Process* process, u32 epfd, u32 fd, const epoll_event& event);  // ADD, MOD
void shadow_remove(Process* process, u32 epfd, u32 fd);                         // DEL
void shadow_forget_fd(Process* process, u32 fd);                                // closed, as either
// Fills up to `max` events for a dead set, starting after *cursor; returns how many.
u32 shadow_report(Process* process, u32 epfd, epoll_event* events, u32 max);

// In a forked child: another thread may have had the lock when the process was copied.
void reset_shadow_lock();

}  // namespace mino::hook
