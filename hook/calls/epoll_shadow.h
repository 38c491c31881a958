// SPDX-License-Identifier: Apache-2.0
//
// A copy of what was registered in companion epoll sets: {epoll fd, fd} -> {events, data}. Never
// consulted while the device lives; when it has died, epoll_wait tells every registered socket's
// owner EPOLLERR|EPOLLHUP, as Linux does for connections that were reset.
#pragma once

#include "hook/state/process.h"

namespace mino::hook {

struct EpollEvent {  // packed, as on x86-64
  u32 events;
  u64 data;
} __attribute__((packed));
static_assert(sizeof(EpollEvent) == 12);

void shadow_set(Process* process, u32 epfd, u32 fd, const EpollEvent& event);  // ADD, MOD
void shadow_remove(Process* process, u32 epfd, u32 fd);                        // DEL
void shadow_forget_fd(Process* process, u32 fd);                               // closed, as either
// Fills up to `max` events for a dead set, starting after *cursor; returns how many.
u32 shadow_report(Process* process, u32 epfd, EpollEvent* events, u32 max);

// In a forked child: another thread may have had the lock when the process was copied.
void reset_shadow_lock();

}  // namespace mino::hook
