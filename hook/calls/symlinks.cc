// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/symlinks.h. Most paths have no link in them, and for these the check must cost
// nothing. An open uses RESOLVE_NO_SYMLINKS: its success, or any error but ELOOP, is final. A stat
// shows by the file system of what it found that this is no file below a prefix. Where that does
// not tell, the path is walked, link by link.
#include "hook/calls/symlinks.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

u64 directory(int dirfd) {
  return static_cast<u64>(static_cast<i64>(dirfd));
}

// ---- file systems that hold a prefix ----

constexpr u32 kMaxFileSystems = 16;
struct {
  u32 known;  // 0: not looked up yet; else 1 + how many
  u64 devices[kMaxFileSystems];
} file_systems;

bool more_than_can_be_kept() {
  return file_systems.known > kMaxFileSystems;
}

void learn_file_systems() {
  u32 count = 0;
  const char* prefix = settings.paths;
  for (u32 i = 0; i < settings.path_count; i++, prefix += length(prefix) + 1) {
    struct stat info;
    if (raw(__NR_stat, ptr(prefix), ptr(&info)) != 0) continue;
    u32 same = 0;
    while (same < count && same < kMaxFileSystems && file_systems.devices[same] != info.st_dev)
      same++;
    if (same < count) continue;
    if (count < kMaxFileSystems) file_systems.devices[count] = info.st_dev;
    count++;
  }
  __atomic_store_n(&file_systems.known, count + 1, __ATOMIC_RELEASE);
}

// File systems without a block device, such as procfs and sysfs, have the major number 0.
bool is_on_a_disk(u64 device) {
  return (device & 0xfff00) || device >> 32;
}

// Links to /proc/self/fd (/dev/stdin) may lead to placeholders of offloaded files, and to the
// hook's own sockets and eventfds. All of these are on file systems that the kernel has for itself.
bool holds_placeholders(const Process* process, u64 device) {
  static u64 known[3];  // written once, all before the last one
  const Session& session = process->session();
  if (!__atomic_load_n(&known[2], __ATOMIC_ACQUIRE)) {
    if (session.status == SessionStatus::kNone || session.placeholder < 0) return false;
    const long event = raw(__NR_eventfd2, 0, EFD_CLOEXEC);
    const long files[3] = {session.placeholder, session.socket, event};
    for (int i = 0; i < 3; i++) {
      struct stat info{};
      raw(__NR_fstat, static_cast<u64>(files[i]), ptr(&info));
      __atomic_store_n(&known[i], info.st_dev, __ATOMIC_RELEASE);
    }
    if (!is_error(event)) raw(__NR_close, static_cast<u64>(event));
  }
  return device == known[0] || device == known[1] || device == known[2];
}

bool holds_a_prefix(const Process* process, u64 device) {
  if (settings.all_virtual && is_on_a_disk(device)) return false;
  if (__atomic_load_n(&file_systems.known, __ATOMIC_ACQUIRE) == 0) learn_file_systems();
  const u32 count = file_systems.known - 1;
  for (u32 i = 0; i < count && i < kMaxFileSystems; i++) {
    if (file_systems.devices[i] == device) return true;
  }
  return more_than_can_be_kept() || holds_placeholders(process, device);
}

// ---- the path itself ----

// One call. O_DIRECTORY makes the open fail for all other files, so only directories cost a
// descriptor.
bool has_link(int dirfd, const char* path, bool follow_last) {
  constexpr u64 kDirectory = O_PATH | O_DIRECTORY | O_CLOEXEC;
  const open_how how{kDirectory | (follow_last ? 0 : O_NOFOLLOW), 0, RESOLVE_NO_SYMLINKS};
  const long fd = raw(__NR_openat2, directory(dirfd), ptr(path), ptr(&how), sizeof how);
  if (fd >= 0) raw(__NR_close, static_cast<u64>(fd));
  return fd == -ELOOP;
}

// Walks `path` from the directory in `to` as the kernel would. True if some link leads to the
// device; then `to` is the path there.
bool walk(ThreadState* ts, const char* path, bool follow_last, char* to, u64 used) {
  constexpr int kMaxLinks = 40;  // MAXSYMLINKS in the kernel
  char rest[abi::kMaxPath], target[abi::kMaxPath], whole[abi::kMaxPath];
  u64 bytes = length(path) + 1;
  if (bytes > sizeof rest) return false;
  copy(rest, path, bytes);
  for (int links = 0; links <= kMaxLinks; links++) {
    u64 whole_used = used;
    copy(whole, to, used + 1);
    if (normalise(whole, whole_used, rest) && is_device_path(ts, whole)) {
      const u64 n = length(whole), end = length(rest);
      copy(to, whole, n + 1);
      if (end && rest[end - 1] == '/' && n + 2 < abi::kMaxPath) copy(to + n, "/", 2);
      return true;
    }
    // Find the first link from here on.
    const char* at = rest;
    long got = 0;
    u64 before = used;
    while (got <= 0) {
      while (*at == '/') at++;
      const char* name = at;
      while (*at && *at != '/') at++;
      const u64 n = static_cast<u64>(at - name);
      if (n == 0) return false;
      before = used;
      char part[256];
      if (n >= sizeof part) return false;
      copy(part, name, n);
      part[n] = 0;
      if (!normalise(to, used, part)) return false;
      if (used <= before || relation(to) == Relation::kAbove) continue;
      if (!follow_last && *at == 0) return false;
      got = raw(__NR_readlink, ptr(to), ptr(target), sizeof target - 1);
      if (is_error(got) && got != -EINVAL) return false;
    }
    // A link in /proc to an open file leads to that file, whatever its name says.
    if (*at == 0 && target[0] == '/' && starts_with(to, "/proc/")) return false;
    const u64 left = length(at) + 1, length_of_target = static_cast<u64>(got);
    if (length_of_target + left > sizeof rest) return false;
    copy(target + length_of_target, at, left);
    copy(rest, target, length_of_target + left);
    used = rest[0] == '/' ? 0 : before;
    to[used] = 0;
  }
  return false;
}

bool walk_from(ThreadState* ts, int dirfd, const char* path, bool follow_last, char* to) {
  u64 used = 0;
  to[0] = 0;
  const bool inside = (path[0] == '/' || name_of_directory(ts->process, dirfd, to, used)) &&
                      walk(ts, path, follow_last, to, used);
  if (!inside) to[0] = 0;
  return inside;
}

// Whether the file at the path, or a missing one, could lie below a prefix.
bool may_be_in_prefix(const Process* process, int dirfd, const char* path, bool follow_last) {
  struct stat info;
  const long result = raw(__NR_newfstatat, directory(dirfd), ptr(path), ptr(&info),
                          follow_last ? 0 : AT_SYMLINK_NOFOLLOW);
  return is_error(result) || holds_a_prefix(process, info.st_dev);
}

// ---- calls ----

// The file system of what stat or statx has found; false if the caller's buffer cannot be read any
// more.
bool found_on(const abi::Row& row, const Frame& f, u64& device) {
  if (row.nr != __NR_statx)
    return user_read(row.nr == __NR_newfstatat ? f.rdx : f.rsi, &device, sizeof device);
  u32 number[2];  // and stx_dev_minor
  if (!user_read(f.r8 + offsetof(struct statx, stx_dev_major), number, sizeof number)) return false;
  device = (number[1] & 0xff) | number[0] << 8 | (number[1] & ~0xffu) << 12;
  return true;
}

// stat and readlink.
long read_on_host(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                  bool follow_last, char* absolute) {
  const Frame& f = ts->frame;
  const long result = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9);
  // Most readlinks are of files that are no links, from realpath(). Most stats are of files on
  // other file systems.
  const bool reads_link = row.nr == __NR_readlink || row.nr == __NR_readlinkat;
  u64 device;
  if (!is_error(result)) {
    if (!reads_link && (!found_on(row, f, device) || !holds_a_prefix(ts->process, device)))
      return result;
  } else if (result != -ENOENT && result != -ENOTDIR && result != -EACCES && result != -ELOOP) {
    return result;
  }
  const bool leads =
      has_link(dirfd, path, follow_last) && walk_from(ts, dirfd, path, follow_last, absolute);
  return leads ? kDeviceInstead : result;
}

// The arguments of open, openat and creat as openat2 takes them (fs/open.c, build_open_how).
open_how how_to_open(const abi::Row& row, const Frame& f) {
  constexpr u64 kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
                         O_SYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW |
                         O_NOATIME | O_CLOEXEC | O_PATH | __O_TMPFILE;  // VALID_OPEN_FLAGS
  constexpr u64 kWithPath = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
  const int at = row.nr == __NR_openat ? 2 : 1;
  u64 flags = row.nr == __NR_creat ? O_CREAT | O_WRONLY | O_TRUNC : f.arg(at) & kKnown;
  if (flags & O_PATH) flags &= kWithPath;
  const u64 mode = f.arg(row.nr == __NR_creat ? 1 : at + 1) & 07777;
  return {flags, flags & (O_CREAT | __O_TMPFILE) ? mode : 0, RESOLVE_NO_SYMLINKS};
}

bool can_block(int dirfd, const char* path, u64 flags) {
  struct stat info;
  if ((flags & O_NONBLOCK) || raw(__NR_newfstatat, directory(dirfd), ptr(path), ptr(&info), 0) != 0)
    return false;
  const u32 format = info.st_mode & S_IFMT;
  if (format == S_IFIFO) return (flags & O_ACCMODE) != O_RDWR;
  return format != S_IFREG && format != S_IFDIR;
}

long open_on_host(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                  bool follow_last, char* absolute) {
  // A deferred signal is delivered before the call.
  if (__atomic_load_n(&ts->deferred, __ATOMIC_RELAXED)) return kLocal;
  const open_how how = how_to_open(row, ts->frame);
  const u64 args[6] = {directory(dirfd), ptr(path), ptr(&how), sizeof how};
  const long result = mino_interruptible(ts, __NR_openat2, args);
  // A signal came before or during the call. If the open cannot block, it has not begun.
  if (result == abi::kErestartsys) return can_block(dirfd, path, how.flags) ? result : kLocal;
  // The seccomp filter of a sandbox around the program may not know openat2.
  if (result == -EPERM || result == -ENOSYS) return kLocal;
  if (result != -ELOOP) return result;
  const bool leads = may_be_in_prefix(ts->process, dirfd, path, follow_last) &&
                     walk_from(ts, dirfd, path, follow_last, absolute);
  return leads ? kDeviceInstead : kLocal;
}

}  // namespace

bool leads_to_device(ThreadState* ts, int dirfd, const char* path, bool follow_last,
                     char* absolute) {
  return has_link(dirfd, path, follow_last) &&
         may_be_in_prefix(ts->process, dirfd, path, follow_last) &&
         walk_from(ts, dirfd, path, follow_last, absolute);
}

long try_on_host(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                 bool follow_last, char* absolute) {
  switch (row.nr) {
    case __NR_open:
    case __NR_openat:
    case __NR_creat:
      return open_on_host(ts, row, dirfd, path, follow_last, absolute);
    case __NR_stat:
    case __NR_lstat:
    case __NR_newfstatat:
    case __NR_statx:
    case __NR_readlink:
    case __NR_readlinkat:
      return read_on_host(ts, row, dirfd, path, follow_last, absolute);
    default:
      return leads_to_device(ts, dirfd, path, follow_last, absolute) ? kDeviceInstead : kLocal;
  }
}

void forget_file_systems() {
  __atomic_store_n(&file_systems.known, 0, __ATOMIC_RELEASE);
}

}  // namespace mino::hook
