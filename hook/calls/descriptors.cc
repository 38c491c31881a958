// SPDX-License-Identifier: Apache-2.0
//
// Calls that make, copy and close descriptors. The rules: one number on both sides; the placeholder
// comes first and goes last; a number is flagged offloaded exactly while the device has it.
#include "hook/base/user.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/handler.h"
#include "hook/calls/owner.h"
#include "hook/catch/disarm.h"
#include "hook/catch/patch.h"
#include "hook/device/sharing.h"

namespace mino::hook {

namespace {

constexpr u64 kOCloexec = 0x80000;

const abi::Row& close_row() {
  return *abi::find_row(nr::kClose);
}

bool on_device(u8 flags) {
  return flags & (kOffloaded | kCompanion);
}

// The device's half of a close. It always happens: neither signals nor errors leave the number
// open.
long close_on_device(ThreadState* ts, u64 fd) {
  const u64 args[6] = {fd};
  if (ready(ts) != 0) return 0;
  const long result = offload(ts, close_row(), args, -1, 0, kNoCancel);
  return result == err::kBadF ? 0 : result;
}

void forget(ThreadState* ts, u64 fd) {
  if (ts->process->flags(fd) & (kOffloaded | kEpoll))
    shadow_forget_fd(ts->process, static_cast<u32>(fd));
  ts->process->set_flags(fd, 0);
}

// dup2/dup3 onto a number where the hook keeps something: that moves away first.
void make_way(Process* process, u64 fd) {
  if (!(process->flags(fd) & kPrivate)) return;
  constexpr u64 kFDupFdCloexec = 1030;
  for (int* own : {&process->session().socket, &process->session().placeholder}) {
    if (*own < 0 || static_cast<u64>(*own) != fd) continue;
    const long moved = raw(nr::kFcntl, fd, kFDupFdCloexec, fd + 1);
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
  if (from_flags & kPrivate) return err::kBadF;
  constexpr u64 kFGetFd = 1;
  if (is_error(raw(nr::kFcntl, from, kFGetFd))) return err::kBadF;
  if (to >= abi::kMaxFd) return err::kBadF;
  make_way(process, to);
  if (on_device(from_flags)) {
    if (const long error = ready(ts)) return error;
    const long result = raw(nr::kDup3, from, to, flags);
    if (is_error(result)) return result;
    const u64 args[6] = {from, to, 0};
    shadow_forget_fd(process, static_cast<u32>(to));
    const long installed =
        offload(ts, *abi::find_row(nr::kDup3), args, static_cast<int>(to), 0, kNoCancel);
    if (installed < 0) {
      process->set_flags(to, 0);
      raw(nr::kClose, to);
      return installed;
    }
    process->set_flags(to, from_flags);
    return result;
  }
  // A local file onto an offloaded number.
  const long result = raw(nr::kDup3, from, to, flags);
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
  const long fd = raw(nr::kFcntl, from, cloexec ? kFDupFdCloexec : kFDupFd, lowest);
  if (is_error(fd)) return fd;
  const u64 args[6] = {from, static_cast<u64>(fd), 0};
  const long result =
      offload(ts, *abi::find_row(nr::kDup3), args, static_cast<int>(fd), 0, kNoCancel);
  if (result < 0) {
    raw(nr::kClose, static_cast<u64>(fd));
    return result;
  }
  process->set_flags(static_cast<u64>(fd), process->flags(from));
  return fd;
}

// fcntl on a signalfd: copies of it are of its kind.
long dup_signals(ThreadState* ts, const Frame& f, u8 flags) {
  constexpr u64 kFDupFd = 0, kFDupFdCloexec = 1030;
  if (f.rsi != kFDupFd && f.rsi != kFDupFdCloexec) return kLocal;
  return made_here(ts, raw(nr::kFcntl, f.rdi, f.rsi, f.rdx), flags);
}

// The kernel's close_range over [first, last] without the hook's own numbers.
long close_range_on_host(const Process* process, u64 first, u64 last, u64 flags) {
  long result = 0;
  const u64 end = last < process->table()->fd_limit ? last : process->table()->fd_limit;
  u64 from = first;
  for (u64 fd = first; fd <= end && fd < abi::kMaxFd; fd++) {
    if (!(process->fds[fd] & kPrivate)) continue;
    if (fd > from) result = raw(nr::kCloseRange, from, fd - 1, flags);
    from = fd + 1;
  }
  if (from <= last) result = raw(nr::kCloseRange, from, last, flags);
  return result;
}

}  // namespace

void closed_unseen(ThreadState* ts, u64 fd) {
  const u8 flags = ts->process->flags(fd);
  if (!(flags & (kOffloaded | kCompanion | kEpoll | kSignals))) [[likely]]
    return;
  forget(ts, fd);
  if (on_device(flags)) close_on_device(ts, fd);
}

long made_here(ThreadState* ts, long fd, u8 flags) {
  if (is_error(fd)) return fd;
  closed_unseen(ts, static_cast<u64>(fd));
  ts->process->set_flags(static_cast<u64>(fd), flags);
  return fd;
}

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
  if (flags & kPrivate) return err::kBadF;
  const long result = on_device(flags) ? close_on_device(ts, fd) : 0;
  forget(ts, fd);
  const long closed = raw(nr::kClose, fd);
  return result < 0 ? result : closed;
}

long do_close_range(ThreadState* ts, const abi::Row&) {
  Process* process = ts->process;
  const u64 first = static_cast<u32>(ts->frame.rdi), last = static_cast<u32>(ts->frame.rsi);
  const u64 flags = ts->frame.rdx;
  constexpr u64 kUnshare = 2, kCloexec = 4;
  if (first > last || (flags & ~(kUnshare | kCloexec))) return kLocal;
  if ((flags & kUnshare) && table_is_shared(ts)) {
    if (const long error = own_table(ts, kCloneFiles)) return error;
    process = ts->process;
  }
  if (!(flags & kCloexec)) {
    for (u64 fd = first; fd <= last && fd < process->table()->fd_limit; fd++) {
      const u8 fd_flags = process->fds[fd];
      if (fd_flags == 0 || (fd_flags & kPrivate)) continue;
      if (on_device(fd_flags)) close_on_device(ts, fd);
      forget(ts, fd);
      raw(nr::kClose, fd);
    }
  }
  return close_range_on_host(process, first, last, flags);
}

long do_dup(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 from = static_cast<u32>(f.rdi), to = static_cast<u32>(f.rsi);
  const u8 flags = ts->process->flags(from);
  if (row.nr == nr::kDup) {
    if (flags & kPrivate) return err::kBadF;
    if (on_device(flags)) return dup_from(ts, from, 0, false);
    if (!(flags & (kEpoll | kSignals))) return kLocal;
    return made_here(ts, raw(nr::kDup, from), flags);
  }
  if (from == to) return flags & kPrivate ? err::kBadF : kLocal;
  if (row.nr == nr::kDup3 && (f.rdx & ~kOCloexec)) return kLocal;  // EINVAL
  return dup_to(ts, from, to, row.nr == nr::kDup3 ? f.rdx : 0);
}

long do_fcntl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  const u8 flags = ts->process->flags(fd);
  if (flags & kPrivate) return err::kBadF;
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

// Requests about network interfaces are answered by any socket, and glibc's if_nametoindex asks an
// AF_UNIX one: the interfaces are the device's all the same (linux/sockios.h; net/socket.c,
// sock_do_ioctl). Those that are a family's own (addresses, ARP) stay with the family.
bool about_interfaces(u64 fd, u32 request) {
  constexpr u32 kInet = 2, kGetsockopt = 55, kSolSocket = 1, kSoDomain = 39;
  const bool of_device = (request >= 0x8910 && request < 0x89e0) ||
                         (request >= 0x89f0 && request <= 0x89ff) ||
                         (request >= 0x8b00 && request <= 0x8bff);
  const bool of_family = (request >= 0x8915 && request <= 0x891c) ||
                         (request >= 0x8934 && request <= 0x8936) || request == 0x894b ||
                         request == 0x894c || (request >= 0x8953 && request <= 0x8955);
  if (!of_device || of_family || !(settings.families & (1u << kInet))) return false;
  u32 domain = 0, bytes = sizeof domain;
  return raw(kGetsockopt, fd, kSolSocket, kSoDomain, ptr(&domain), ptr(&bytes)) == 0;
}

// By a socket of the device, for this one call.
long ask_device(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kInet = 2, kDatagram = 2;
  const u64 args[6] = {kInet, kDatagram | kOCloexec, 0};
  const long fd = offload_new_fd(ts, *abi::find_row(nr::kSocket), args, true);
  if (fd < 0) return fd;
  const u64 ioctl[6] = {static_cast<u64>(fd), f.rsi, f.rdx};
  const long result = offload(ts, row, ioctl);
  close_on_device(ts, static_cast<u64>(fd));
  forget(ts, static_cast<u64>(fd));
  raw(nr::kClose, static_cast<u64>(fd));
  return result;
}

long do_ioctl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u8 flags = ts->process->flags(static_cast<u32>(f.rdi));
  if (flags & kPrivate) return err::kBadF;
  constexpr u32 kFioclex = 0x5451, kFionclex = 0x5450;
  const u32 request = static_cast<u32>(f.rsi);
  if (request == kFioclex || request == kFionclex) return kLocal;
  if (flags & kOffloaded)
    return is_owner_ioctl(request) ? owner_ioctl(ts, row) : offload_frame(ts, row);
  return flags == 0 && about_interfaces(f.rdi, request) ? ask_device(ts, row) : kLocal;
}

// Offloaded files cannot be mapped. Code that is mapped later (dlopen) is patched as it comes.
namespace {

// A private mapping of a regular file on the device: a copy of what it holds now. What is mapped
// beyond the file's end faults, with SIGSEGV.
long map_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapPrivate = 2, kMapAnonymous = 0x20, kPlacing = 0x10 | 0x40 | 0x100000;
  constexpr u64 kProtRead = 1, kProtWrite = 2;
  constexpr u32 kModeMask = 0170000, kRegular = 0100000;
  constexpr long kFstat = 5, kMunmap = 11, kMprotect = 10;
  u32 stat[36];
  const u64 about[6] = {f.r8, ptr(stat)};
  if (offload(ts, *abi::find_row(kFstat), about, -1, 0, kNoCancel) != 0 ||
      (stat[6] & kModeMask) != kRegular)
    return err::kNoDev;
  u64 size;
  copy(&size, stat + 12, sizeof size);
  if (size == 0) return err::kNoDev;  // as most files of /proc and /sys
  const abi::Row& pread = *abi::find_row(nr::kPread64);
  const u64 nothing[6] = {f.r8, f.rdi, 0, 0};
  if (offload(ts, pread, nothing, -1, 0, kNoCancel) < 0)
    return err::kAcces;  // not open for reading
  const u64 bytes = (f.rsi + 4095) & ~4095ull;
  const u64 held = size > f.r9 ? min(bytes, size - f.r9) : 0;
  const long at = raw(row.nr, f.rdi, bytes, kProtRead | kProtWrite,
                      (f.r10 & kPlacing) | kMapPrivate | kMapAnonymous, ~0ull, 0);
  if (is_error(at)) return at;
  const u64 begin = static_cast<u64>(at);
  u64 done = 0;
  while (done < held) {
    const u64 args[6] = {f.r8, begin + done, held - done, f.r9 + done};
    const long got = offload(ts, pread, args, -1, 0, kNoCancel);
    if (got < 0) {
      raw(kMunmap, begin, bytes);
      return got;
    }
    if (got == 0) break;
    done += static_cast<u64>(got);
  }
  const u64 end = (done + 4095) & ~4095ull;
  if (end) raw(kMprotect, begin, end, f.rdx);
  if (end < bytes) raw(kMprotect, begin + end, bytes - end, 0);
  return at;
}

// A packet ring is memory that is shared with the device's kernel.
long map_offloaded(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapType = 0xf, kMapPrivate = 2;
  u64 bytes;
  const long file = fetch_mapping(ts, f.r8, bytes);
  if (file == err::kNoDev && (f.r10 & kMapType) == kMapPrivate) return map_copy(ts, row);
  if (is_error(file)) return file == err::kNetDown ? err::kNoDev : file;
  long at = err::kInval;
  if (bytes == 0 || (f.r9 == 0 && ((f.rsi + 4095) & ~4095ull) == bytes))
    at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, static_cast<u64>(file), f.r9);
  raw(nr::kClose, static_cast<u64>(file));
  return at;
}

}  // namespace

// The commands that make a descriptor; all are close-on-exec (Documentation/userspace-api/ebpf).
long do_bpf(ThreadState* ts, const abi::Row& row) {
  constexpr u64 kMakesFd =
      1ull << 0 | 1ull << 5 | 1ull << 7 |     // MAP_CREATE, PROG_LOAD, OBJ_GET
      1ull << 13 | 1ull << 14 | 1ull << 17 |  // …_GET_FD_BY_ID, RAW_TRACEPOINT_OPEN
      1ull << 18 | 1ull << 19 |               // BTF_LOAD, BTF_GET_FD_BY_ID
      1ull << 28 | 1ull << 30 |               // LINK_CREATE, LINK_GET_FD_BY_ID
      1ull << 32 | 1ull << 33 | 1ull << 36;   // ENABLE_STATS, ITER_CREATE, TOKEN_CREATE
  const u64 command = static_cast<u32>(ts->frame.rdi);
  if (command >= 64 || !(kMakesFd >> command & 1)) return offload_frame(ts, row);
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = ts->frame.arg(i);
  return offload_new_fd(ts, row, args, true);
}

long do_map(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapAnonymous = 0x20, kProtExec = 4;
  before_change_of_text(ts, row);
  if (f.r10 & kMapAnonymous) return kLocal;
  if (ts->process->offloaded(f.r8)) {
    constexpr u64 kMapType = 0xf;
    const u64 type = f.r10 & kMapType;
    const bool sane = f.rsi != 0 && (f.r9 & 4095) == 0 && type >= 1 && type <= 3;
    return sane ? map_offloaded(ts, row) : err::kInval;
  }
  if (ts->process->flags(static_cast<u32>(f.r8)) & kPrivate) return err::kBadF;
  if (!(f.rdx & kProtExec) || !settings.patch || settings.sud) return kLocal;
  const long at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9);
  if (!is_error(at)) patch_range(static_cast<u64>(at), static_cast<u64>(at) + f.rsi);
  return at;
}

}  // namespace mino::hook
