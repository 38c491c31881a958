// SPDX-License-Identifier: Apache-2.0
//
// Handlers: one per Route (abi/shape.h). A handler decides where the call in ts->frame runs. It
// answers kLocal (execute it on the host, with the application's registers and stack), or the
// result.
#pragma once

#include "hook/device/call.h"

namespace mino::hook {

// A result that no kernel call has: "not for me".
inline constexpr long kLocal = -0x10000;

long offload_frame(ThreadState* ts, const abi::Row& row);  // the frame's own arguments
long offload_new_fd(ThreadState* ts, const abi::Row& row, const u64 args[6], bool cloexec);
// The host has given out a number. Were it flagged still, it has been closed where no tier but the
// trap sees it: what the device has there is closed, too, before the number means something else.
void closed_unseen(ThreadState* ts, u64 fd);
// … unless it has answered an error: from here on the number is a local file's, of these FdFlags.
long made_here(ThreadState* ts, long fd, u8 flags);

// descriptors.cc
long do_socket(ThreadState* ts, const abi::Row& row);
long do_close(ThreadState* ts, const abi::Row& row);
long do_close_range(ThreadState* ts, const abi::Row& row);
long do_dup(ThreadState* ts, const abi::Row& row);
long do_fcntl(ThreadState* ts, const abi::Row& row);
long do_ioctl(ThreadState* ts, const abi::Row& row);
bool is_own_executable(const char* path);  // /proc/self/exe of a program that the hook has loaded
long do_map(ThreadState* ts, const abi::Row& row);
long do_seccomp(ThreadState* ts, const abi::Row& row);
long do_bpf(ThreadState* ts, const abi::Row& row);
// paths.cc
long do_path(ThreadState* ts, const abi::Row& row);
long do_path_two(ThreadState* ts, const abi::Row& row);
long do_cwd(ThreadState* ts, const abi::Row& row);
// epoll.cc, poll.cc
long do_epoll_create(ThreadState* ts, const abi::Row& row);
long do_epoll_ctl(ThreadState* ts, const abi::Row& row);
long do_epoll_wait(ThreadState* ts, const abi::Row& row);
long do_poll(ThreadState* ts, const abi::Row& row);
long do_select(ThreadState* ts, const abi::Row& row);
// copying.cc
long do_copy(ThreadState* ts, const abi::Row& row);
// passing.cc
long do_message(ThreadState* ts, const abi::Row& row);
// fetching.cc
long do_fetch(ThreadState* ts, const abi::Row& row);
// lifecycle.cc
long do_fork(ThreadState* ts, const abi::Row& row);
long do_exec(ThreadState* ts, const abi::Row& row);
long do_exit(ThreadState* ts, const abi::Row& row);
long do_guard(ThreadState* ts, const abi::Row& row);
long do_wait(ThreadState* ts, const abi::Row& row);
long do_mirror(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
