// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/descriptors.h.
#include "hook/calls/descriptors.h"

#include "hook/base/limits.h"
#include "hook/base/uapi.h"
#include "hook/calls/dead_files.h"
#include "hook/calls/epoll.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/owner.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/sharing.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// For dup2 and dup3 onto a number that the hook uses itself: moves the hook's descriptor away.
// False if there is no other number for it.
bool make_way(Process* process, u64 fd) {
  if (!(process->flags(fd) & kPrivate)) return true;
  bool good = true;
  const auto move = [&](int& own) {
    if (own < 0 || static_cast<u64>(own) != fd) return;
    const LiftedLimits more(LiftedLimits::kNumbers);
    const long moved = raw(__NR_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
    good = !is_error(moved);
    if (!good) return;
    process->set_flags(static_cast<u64>(moved), kPrivate);
    own = static_cast<int>(moved);
  };
  move(process->session().socket);
  move(process->session().placeholder);
  move(process->session().broken);
  move(process->session().memory_fd);
  move(process->table()->kick_fd);
  for (ThreadState* ts = first_thread(); ts; ts = ts->next) {
    if (ts->process != process) continue;
    move(ts->bell);
    move(ts->watch);
  }
  move(settings.trace_fd);
  if (good) process->set_flags(fd, 0);
  return good;
}

// `to` is another descriptor of the same file as `from`.
void set_duplicate_flags(Process* process, u64 from, u64 to, u8 flags) {
  process->set_flags(to, flags);
  if (flags & kEpoll) shadow_duplicate(process, static_cast<u32>(from), static_cast<u32>(to));
}

long dup_to(ThreadState* ts, u64 from, u64 to, u64 flags) {
  Process* process = ts->process;
  const u8 from_flags = process->flags(from);
  const u8 to_flags = process->flags(to);
  if (!on_device(from_flags) && !on_device(to_flags) &&
      !((from_flags | to_flags) & (kPrivate | kEpoll | kSignals))) {
    if (to_flags) process->set_flags(to, 0);
    return kLocal;
  }
  if (from_flags & kPrivate) return -EBADF;
  if (is_error(raw(__NR_fcntl, from, F_GETFD))) return -EBADF;
  if (to >= abi::kMaxFd) return -EBADF;
  if (!make_way(process, to)) return -EBUSY;
  if (on_device(from_flags)) {
    const long error = ready(ts);
    if (error && !device_is_dead(ts)) return error;
    shadow_forget_fd(process, static_cast<u32>(to));
    const long result = raw(__NR_dup3, from, to, flags);
    if (is_error(result)) return result;
    const u64 args[6] = {from, to, 0};
    const long installed =
        error ? 0
              : offload(ts, *abi::find_row(__NR_dup3), args, static_cast<int>(to), 0, kNoCancel);
    if (installed < 0 && !device_is_dead(ts)) {
      process->set_flags(to, 0);
      raw(__NR_close, to);
      return installed;
    }
    set_duplicate_flags(process, from, to, from_flags);
    return result;
  }
  // A local file takes an offloaded number.
  if (process->table()->buried) shadow_forget_fd(process, static_cast<u32>(to));
  const long result = raw(__NR_dup3, from, to, flags);
  if (is_error(result)) return result;
  forget_fd(ts, to);
  set_duplicate_flags(process, from, to, from_flags & (kEpoll | kSignals));
  if (on_device(to_flags)) close_on_device(ts, to);
  return result;
}

// dup and F_DUPFD. The host chooses the number.
long dup_from(ThreadState* ts, u64 from, u64 lowest, bool cloexec) {
  Process* process = ts->process;
  const long error = ready(ts);
  if (error && !device_is_dead(ts)) return error;
  const long fd = raw(__NR_fcntl, from, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, lowest);
  if (is_error(fd)) return fd;
  const u64 args[6] = {from, static_cast<u64>(fd), 0};
  const long result =
      error ? 0 : offload(ts, *abi::find_row(__NR_dup3), args, static_cast<int>(fd), 0, kNoCancel);
  if (result < 0 && !device_is_dead(ts)) {
    raw(__NR_close, static_cast<u64>(fd));
    return result;
  }
  set_duplicate_flags(process, from, static_cast<u64>(fd), process->flags(from));
  return fd;
}

// Like register_local_fd().
long register_duplicate(ThreadState* ts, u64 from, long fd, u8 flags) {
  if (!is_error(register_local_fd(ts, fd, flags)) && (flags & kEpoll))
    shadow_duplicate(ts->process, static_cast<u32>(from), static_cast<u32>(fd));
  return fd;
}

// close_range over [first, last] on the host, leaving out the hook's own descriptors.
long close_range_on_host(const Process* process, u64 first, u64 last, u64 flags) {
  long result = 0;
  const u64 end = last < process->table()->fd_limit ? last : process->table()->fd_limit;
  u64 from = first;
  for (u64 fd = first; fd <= end && fd < abi::kMaxFd; fd++) {
    if (!(process->fds[fd] & kPrivate)) continue;
    if (fd > from) result = raw(__NR_close_range, from, fd - 1, flags);
    from = fd + 1;
  }
  if (from <= last) result = raw(__NR_close_range, from, last, flags);
  return result;
}

}  // namespace

long do_socket(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u32 family = static_cast<u32>(f.rdi), protocol = static_cast<u32>(f.rdx);
  const u32 set = family == AF_NETLINK ? settings.netlinks : settings.families;
  const u32 member = family == AF_NETLINK ? protocol : family;
  if (member >= 32 || !(set & (1u << member))) return kLocal;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx};
  const long fd = offload_new_fd(ts, row, args, f.rsi & SOCK_CLOEXEC);
  if (fd >= 0 && family == AF_NETLINK) ts->process->add_flags(static_cast<u32>(fd), kMaybeNetlink);
  return fd;
}

long do_close(ThreadState* ts, const abi::Row&) {
  const u64 fd = static_cast<u32>(ts->frame.rdi);
  const u8 flags = ts->process->flags(fd);
  if (flags == 0) return kLocal;
  if (flags & kPrivate) return -EBADF;
  if (on_device(flags)) {
    // Nothing has happened yet.
    if (const long error = ready(ts); error && error != -ENETDOWN) return error;
  }
  const long result = on_device(flags) ? close_on_device(ts, fd) : 0;
  forget_fd(ts, fd);
  const long closed = raw(__NR_close, fd);
  return result < 0 ? result : closed;
}

long do_close_range(ThreadState* ts, const abi::Row&) {
  Process* process = ts->process;
  const u64 first = static_cast<u32>(ts->frame.rdi), last = static_cast<u32>(ts->frame.rsi);
  const u64 flags = ts->frame.rdx;
  if (first > last || (flags & ~u64{CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC})) return kLocal;
  if ((flags & CLOSE_RANGE_UNSHARE) && table_is_shared(ts)) {
    share_epoll_sets(ts);
    if (const long error = own_table(ts, CLONE_FILES)) return error;
    process = ts->process;
  }
  if (!(flags & CLOSE_RANGE_CLOEXEC)) {
    for (u64 fd = first; fd <= last && fd < process->table()->fd_limit; fd++) {
      const u8 fd_flags = process->fds[fd];
      if (fd_flags == 0 || (fd_flags & kPrivate)) continue;
      if (on_device(fd_flags)) close_on_device(ts, fd);
      forget_fd(ts, fd);
      raw(__NR_close, fd);
    }
  }
  return close_range_on_host(process, first, last, flags);
}

long do_dup(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 from = static_cast<u32>(f.rdi), to = static_cast<u32>(f.rsi);
  share_epoll_set(ts, from);
  const u8 flags = ts->process->flags(from);
  if (row.nr == __NR_dup) {
    if (flags & kPrivate) return -EBADF;
    if (on_device(flags)) {
      const long result = dup_from(ts, from, 0, false);
      return result == -EINVAL ? -EMFILE : result;  // F_DUPFD with a limit of 0
    }
    if (!(flags & (kEpoll | kSignals))) return kLocal;
    return register_duplicate(ts, from, raw(__NR_dup, from), flags);
  }
  if (from == to) return flags & kPrivate ? -EBADF : kLocal;
  if (row.nr == __NR_dup3 && (f.rdx & ~O_CLOEXEC)) return kLocal;  // the kernel's EINVAL
  return dup_to(ts, from, to, row.nr == __NR_dup3 ? f.rdx : 0);
}

namespace {

// fcntl on a signalfd, or on an epoll set of the host. A copy is one too.
long dup_flagged(ThreadState* ts, const Frame& f, u8 flags) {
  if (f.rsi != F_DUPFD && f.rsi != F_DUPFD_CLOEXEC) return kLocal;
  return register_duplicate(ts, static_cast<u32>(f.rdi), raw(__NR_fcntl, f.rdi, f.rsi, f.rdx),
                            flags);
}

}  // namespace

long do_fcntl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  if (f.rsi == F_DUPFD || f.rsi == F_DUPFD_CLOEXEC) share_epoll_set(ts, fd);
  const u8 flags = ts->process->flags(fd);
  if (flags & kPrivate) return -EBADF;
  if (!on_device(flags)) return flags & (kSignals | kEpoll) ? dup_flagged(ts, f, flags) : kLocal;
  switch (f.rsi) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return dup_from(ts, fd, f.rdx, f.rsi == F_DUPFD_CLOEXEC);
    case F_GETFD:
    case F_SETFD:  // flags of the descriptor, not of the file
      return kLocal;
    default:
      if (!(flags & kOffloaded)) return kLocal;
      return is_owner_fcntl(f.rsi) ? owner_fcntl(ts, row) : offload_frame(ts, row);
  }
}

}  // namespace mino::hook
