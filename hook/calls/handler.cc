// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/handler.h.
#include "hook/calls/handler.h"

#include "hook/base/uapi.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"

namespace mino::hook {

long close_on_device(ThreadState* ts, u64 fd) {
  const u64 args[6] = {fd};
  const long error = ready(ts);
  if (error == -ENETDOWN) {
    // The program deals with what it is told about dead files: no reason to tell it slowly.
    __atomic_store_n(&ts->process->table()->dead_reports, 0u, __ATOMIC_RELAXED);
    return 0;
  }
  if (error) return error;
  const long result = offload(ts, *abi::find_row(__NR_close), args, -1, 0, kNoCancel);
  return result == -EBADF ? 0 : result;
}

void forget_fd(ThreadState* ts, u64 fd) {
  if (ts->process->flags(fd) & (kOffloaded | kEpoll))
    shadow_forget_fd(ts->process, static_cast<u32>(fd));
  ts->process->set_flags(fd, 0);
}

void close_everywhere(ThreadState* ts, u64 fd) {
  close_on_device(ts, fd);
  forget_fd(ts, fd);
  raw(__NR_close, fd);
}

void drop_stale_fd(ThreadState* ts, u64 fd) {
  const u8 flags = ts->process->flags(fd);
  if (!(flags & (kOffloaded | kCompanion | kEpoll | kSignals))) [[likely]]
    return;
  forget_fd(ts, fd);
  if (on_device(flags)) close_on_device(ts, fd);
}

long register_local_fd(ThreadState* ts, long fd, u8 flags) {
  if (is_error(fd)) return fd;
  drop_stale_fd(ts, static_cast<u64>(fd));
  ts->process->set_flags(static_cast<u64>(fd), flags);
  return fd;
}

long offload_frame(ThreadState* ts, const abi::Row& row) {
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = ts->frame.arg(i);
  if (row.flags & abi::kMakesFd) {
    return offload_new_fd(ts, row, args, row.nr == __NR_accept4 && (args[3] & SOCK_CLOEXEC));
  }
  if (ready(ts) != 0) return dead_result(row, args);
  return offload(ts, row, args);
}

long take_number(ThreadState* ts, bool cloexec) {
  const long fd = raw(__NR_fcntl, static_cast<u64>(ts->process->session().placeholder),
                      cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  // F_DUPFD says EINVAL where its lowest number is above the limit, as 0 is above a limit of 0.
  if (is_error(fd)) return fd == -EINVAL ? -EMFILE : fd;
  if (static_cast<u64>(fd) >= abi::kMaxFd) {
    raw(__NR_close, static_cast<u64>(fd));
    return -EMFILE;
  }
  drop_stale_fd(ts, static_cast<u64>(fd));
  return fd;
}

// The placeholder is made first, so that the number is never free on one side only.
long offload_new_fd(ThreadState* ts, const abi::Row& row, const u64 args[6], bool cloexec) {
  if (const long error = ready(ts)) return error;
  const long fd = take_number(ts, cloexec);
  if (fd < 0) return fd;
  const long result = offload(ts, row, args, static_cast<int>(fd));
  if (result < 0) {
    raw(__NR_close, static_cast<u64>(fd));
    return result;
  }
  ts->process->set_flags(static_cast<u64>(fd), kOffloaded);
  return fd;
}

}  // namespace mino::hook
