// SPDX-License-Identifier: Apache-2.0
//
// Calls that make, copy and close descriptors. The rules: one number on both sides; the placeholder
// comes first and goes last; a number is flagged offloaded exactly while the device has it.
#include "hook/calls/descriptors.h"

#include "hook/base/uapi.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/owner.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/sharing.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr u64 kOCloexec = 0x80000;

// dup2/dup3 onto a number where the hook keeps something: that moves away first.
void make_way(Process* process, u64 fd) {
  if (!(process->flags(fd) & kPrivate)) return;
  constexpr u64 kFDupFdCloexec = 1030;
  for (int* own : {&process->session().socket, &process->session().placeholder}) {
    if (*own < 0 || static_cast<u64>(*own) != fd) continue;
    const long moved = raw(__NR_fcntl, fd, kFDupFdCloexec, fd + 1);
    if (is_error(moved)) continue;
    process->set_flags(static_cast<u64>(moved), kPrivate);
    *own = static_cast<int>(moved);
  }
  process->set_flags(fd, 0);
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
  constexpr u64 kFGetFd = 1;
  if (is_error(raw(__NR_fcntl, from, kFGetFd))) return -EBADF;
  if (to >= abi::kMaxFd) return -EBADF;
  make_way(process, to);
  if (on_device(from_flags)) {
    if (const long error = ready(ts)) return error;
    const long result = raw(__NR_dup3, from, to, flags);
    if (is_error(result)) return result;
    const u64 args[6] = {from, to, 0};
    shadow_forget_fd(process, static_cast<u32>(to));
    const long installed =
        offload(ts, *abi::find_row(__NR_dup3), args, static_cast<int>(to), 0, kNoCancel);
    if (installed < 0) {
      process->set_flags(to, 0);
      raw(__NR_close, to);
      return installed;
    }
    process->set_flags(to, from_flags);
    return result;
  }
  // A local file onto an offloaded number.
  const long result = raw(__NR_dup3, from, to, flags);
  if (is_error(result)) return result;
  forget(ts, to);
  process->set_flags(to, from_flags & (kEpoll | kSignals));
  if (on_device(to_flags)) close_on_device(ts, to);
  return result;
}

// dup, F_DUPFD: the host chooses the number.
long dup_from(ThreadState* ts, u64 from, u64 lowest, bool cloexec) {
  Process* process = ts->process;
  if (const long error = ready(ts)) return error;
  constexpr u64 kFDupFd = 0, kFDupFdCloexec = 1030;
  const long fd = raw(__NR_fcntl, from, cloexec ? kFDupFdCloexec : kFDupFd, lowest);
  if (is_error(fd)) return fd;
  const u64 args[6] = {from, static_cast<u64>(fd), 0};
  const long result =
      offload(ts, *abi::find_row(__NR_dup3), args, static_cast<int>(fd), 0, kNoCancel);
  if (result < 0) {
    raw(__NR_close, static_cast<u64>(fd));
    return result;
  }
  process->set_flags(static_cast<u64>(fd), process->flags(from));
  return fd;
}

// The kernel's close_range over [first, last] without the hook's own numbers.
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
  constexpr u32 kNetlink = 16;
  const u32 set = family == kNetlink ? settings.netlinks : settings.families;
  const u32 member = family == kNetlink ? protocol : family;
  if (member >= 32 || !(set & (1u << member))) return kLocal;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx};
  return offload_new_fd(ts, row, args, f.rsi & kOCloexec);
}

long do_close(ThreadState* ts, const abi::Row&) {
  const u64 fd = static_cast<u32>(ts->frame.rdi);
  const u8 flags = ts->process->flags(fd);
  if (flags == 0) return kLocal;
  if (flags & kPrivate) return -EBADF;
  const long result = on_device(flags) ? close_on_device(ts, fd) : 0;
  forget(ts, fd);
  const long closed = raw(__NR_close, fd);
  return result < 0 ? result : closed;
}

long do_close_range(ThreadState* ts, const abi::Row&) {
  Process* process = ts->process;
  const u64 first = static_cast<u32>(ts->frame.rdi), last = static_cast<u32>(ts->frame.rsi);
  const u64 flags = ts->frame.rdx;
  constexpr u64 kUnshare = 2, kCloexec = 4;
  if (first > last || (flags & ~(kUnshare | kCloexec))) return kLocal;
  if ((flags & kUnshare) && table_is_shared(ts)) {
    if (const long error = own_table(ts, CLONE_FILES)) return error;
    process = ts->process;
  }
  if (!(flags & kCloexec)) {
    for (u64 fd = first; fd <= last && fd < process->table()->fd_limit; fd++) {
      const u8 fd_flags = process->fds[fd];
      if (fd_flags == 0 || (fd_flags & kPrivate)) continue;
      if (on_device(fd_flags)) close_on_device(ts, fd);
      forget(ts, fd);
      raw(__NR_close, fd);
    }
  }
  return close_range_on_host(process, first, last, flags);
}

long do_dup(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 from = static_cast<u32>(f.rdi), to = static_cast<u32>(f.rsi);
  const u8 flags = ts->process->flags(from);
  if (row.nr == __NR_dup) {
    if (flags & kPrivate) return -EBADF;
    if (on_device(flags)) return dup_from(ts, from, 0, false);
    if (!(flags & (kEpoll | kSignals))) return kLocal;
    return made_here(ts, raw(__NR_dup, from), flags);
  }
  if (from == to) return flags & kPrivate ? -EBADF : kLocal;
  if (row.nr == __NR_dup3 && (f.rdx & ~kOCloexec)) return kLocal;  // EINVAL
  return dup_to(ts, from, to, row.nr == __NR_dup3 ? f.rdx : 0);
}

namespace {

// fcntl on a signalfd: copies of it are of its kind.
long dup_signals(ThreadState* ts, const Frame& f, u8 flags) {
  constexpr u64 kFDupFd = 0, kFDupFdCloexec = 1030;
  if (f.rsi != kFDupFd && f.rsi != kFDupFdCloexec) return kLocal;
  return made_here(ts, raw(__NR_fcntl, f.rdi, f.rsi, f.rdx), flags);
}

}  // namespace

long do_fcntl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  const u8 flags = ts->process->flags(fd);
  if (flags & kPrivate) return -EBADF;
  if (flags & kSignals) return dup_signals(ts, f, flags);
  if (!on_device(flags)) return kLocal;
  constexpr u64 kFDupFd = 0, kFGetFd = 1, kFSetFd = 2, kFDupFdCloexec = 1030;
  switch (f.rsi) {
    case kFDupFd:
    case kFDupFdCloexec:
      return dup_from(ts, fd, f.rdx, f.rsi == kFDupFdCloexec);
    case kFGetFd:
    case kFSetFd:  // properties of the descriptor
      return kLocal;
    default:
      if (!(flags & kOffloaded)) return kLocal;
      return is_owner_fcntl(f.rsi) ? owner_fcntl(ts, row) : offload_frame(ts, row);
  }
}

}  // namespace mino::hook
