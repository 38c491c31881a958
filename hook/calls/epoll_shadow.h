// SPDX-License-Identifier: Apache-2.0
//
// A copy of what this process has registered in companion epoll sets: {set, fd} -> {events, data}.
// It is not read while the device lives. When the device has died, the files are registered in the
// sets on the host, as broken sockets (hook/calls/dead_files.h). A set is known by an id of
// our own, which all its numbers have. Used by epoll.cc and dead_files.cc, and by handler.cc and
// descriptors.cc when they close or duplicate descriptors.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/process.h"

namespace mino::hook {

// After EPOLL_CTL_ADD or EPOLL_CTL_MOD.
void shadow_set(Process* process, u32 epfd, u32 fd, const epoll_event& event);
// After EPOLL_CTL_DEL.
void shadow_remove(Process* process, u32 epfd, u32 fd);
// Whether the set has an id. A set that came by exec has none at first.
bool shadow_knows(const Process* process, u32 epfd);
// The set has no members that this process has registered, as far as is known.
void shadow_begin(Process* process, u32 epfd);
// The set `epfd` has got another number.
void shadow_duplicate(Process* process, u32 epfd, u32 copy);
// `fd` is about to be closed; it may be a set or a member. In a table whose device has died, it is
// removed from the sets on the host.
void shadow_forget_fd(Process* process, u32 fd);
// Whether any file has been registered with EPOLLONESHOT; then each event must be noted.
bool shadow_has_oneshots();
void shadow_fired(const Process* process, u32 epfd, const epoll_event& event);
// Registers all members in their sets on the host; the files there must be pollable.
void shadow_register(Process* process);

// For a forked child: another thread may have held the lock when the process was copied.
void reset_shadow();

}  // namespace mino::hook
