// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/paths.h.
#include "hook/calls/paths.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/path_text.h"
#include "hook/calls/proc_self_exe.h"
#include "hook/calls/symlinks.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/device_paths.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Where the path of one argument leads, by its text. kDevice with an empty `absolute`: send the
// arguments as they are. kHost with an empty `path`: links need not be checked.
enum class Where { kHost, kDevice, kUnreadable };

Where resolve(ThreadState* ts, int dirfd, u64 pointer, bool fd_may_be_path, char* path,
              char* absolute, bool in_root = false) {
  path[0] = absolute[0] = 0;
  Process* process = ts->process;
  const bool dir_offloaded = dirfd >= 0 && process->offloaded(static_cast<u32>(dirfd));
  if (pointer == 0) return fd_may_be_path && dir_offloaded ? Where::kDevice : Where::kHost;
  const i64 n = user_string(pointer, path, abi::kMaxPath);
  if (n < 0) {
    path[0] = 0;  // the kernel's EFAULT or ENAMETOOLONG
    return dir_offloaded ? Where::kDevice : Where::kUnreadable;
  }
  if (!dir_offloaded && is_surely_far(path)) return Where::kHost;
  u64 used = 0;
  // openat2 with RESOLVE_IN_ROOT: "/" is the directory.
  if (dir_offloaded && in_root) return Where::kDevice;
  if (path[0] != '/') {
    if (dir_offloaded) return Where::kDevice;
    if (n == 1) return Where::kHost;  // "": ENOENT, or AT_EMPTY_PATH
    // The working directory may have a name on the device that lies under no prefix: /sys/class/net
    // holds links.
    if (dirfd == AT_FDCWD && process->directory->offloaded && !has_dotdot(path) &&
        relation(process->directory->path) != Relation::kInside)
      return Where::kDevice;
    if (!start_directory(process, dirfd, path, absolute, used)) {
      absolute[0] = 0;
      return Where::kHost;
    }
  }
  if (!normalise(absolute, used, path) || !is_device_path(ts, absolute)) {
    absolute[0] = 0;
    return Where::kHost;
  }
  // A trailing slash means "must be a directory" and is kept.
  used = length(absolute);
  if (n > 2 && path[n - 2] == '/' && used + 2 < abi::kMaxPath) {
    absolute[used++] = '/';
    absolute[used] = 0;
  }
  return Where::kDevice;
}

// The index of the first or the last path among the arguments of a row, and of the directory before
// it, or -1. Rows of the route kPath have one.
int path_argument(const abi::Row& row, bool last, int* dir) {
  int found = -1;
  for (int i = 0; i < 6; i++) {
    if (row.args[i].kind != abi::Kind::kPath) continue;
    found = i;
    if (!last) break;
  }
  *dir = found > 0 && row.args[found - 1].kind == abi::Kind::kFd ? found - 1 : -1;
  return found;
}

// Whether the path starts from a descriptor of the hook's own, which the program must not see.
bool starts_privately(const Process* process, const Frame& f, int dir, int at) {
  if (dir < 0 || !(process->flags(static_cast<u32>(f.arg(dir))) & kPrivate)) return false;
  char first = 0;
  return f.arg(at) == 0 || !user_read(f.arg(at), &first, 1) || first != '/';
}

// Whether the call follows a symbolic link at the end of its path.
bool follows_last(const abi::Row& row, const Frame& f, u64 how_flags) {
  constexpr u64 kCreateNew = O_CREAT | O_EXCL;
  u64 open_flags = how_flags, at_flags = 0;
  for (int i = 0; i < 6; i++) {
    if (row.args[i].print == abi::Print::kOpenFlags) open_flags = f.arg(i);
    if (row.args[i].print == abi::Print::kAtFlags) at_flags = f.arg(i);
  }
  if (row.nr == __NR_linkat) return at_flags & AT_SYMLINK_FOLLOW;
  return !(row.flags & abi::kKeepsLink) && !(at_flags & AT_SYMLINK_NOFOLLOW) &&
         !(open_flags & O_NOFOLLOW) && (open_flags & kCreateNew) != kCreateNew;
}

// For a path that lies on the host by its text: a result, kLocal, or kDeviceInstead with
// `absolute`.
long follow_links(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                  const open_how& how, char* absolute) {
  if (!settings.links || !path[0]) return kLocal;
  // An openat2 with rules for links is left to the host kernel.
  constexpr u64 kLinkRules =
      RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT;
  if (how.resolve & kLinkRules) return kLocal;
  return try_on_host(ts, row, dirfd, path, follows_last(row, ts->frame, how.flags), absolute);
}

// A readlink on the device, whose answer may name a task of the device.
long read_link(ThreadState* ts, const abi::Row& row, const u64 args[6], bool own_directory) {
  const int at = row.nr == __NR_readlinkat ? 2 : 1;
  const int room = static_cast<int>(args[at + 1]);
  if (room <= 0) return -EINVAL;
  char target[abi::kMaxPath + 1];
  u64 asked[6];
  for (int i = 0; i < 6; i++) asked[i] = args[i];
  asked[at] = ptr(target);
  asked[at + 1] = abi::kMaxPath;
  const long got = offload(ts, row, asked);
  if (got <= 0) return got;
  u64 whole = name_on_host(ts, target, static_cast<u64>(got));
  if (own_directory) {
    whole = length(ts->process->directory->path);
    copy(target, ts->process->directory->path, whole);
  }
  const u64 bytes = min(whole, static_cast<u64>(room));
  return user_write(args[at], target, bytes) ? static_cast<long>(bytes) : -EFAULT;
}

// Makes an open on the host, only to learn the number that it returns: without the trap, a file at
// this number may have been closed unseen. kLocal if the trap is armed, if the program's own
// filter must see the call, or if a signal comes first.
long open_on_host(ThreadState* ts, const abi::Row& row) {
  if (settings.sud || ts->filters) return kLocal;
  const Frame& f = ts->frame;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  const long result = mino_interruptible(ts, row.nr, args);
  return result == abi::kErestartsys ? kLocal : result;
}

// What is mounted may be a file with another name on the device: a namespace in /proc.
long mount_on_device(ThreadState* ts, const abi::Row& row, u64 args[6]) {
  char source[abi::kMaxPath], absolute[abi::kMaxPath];
  u64 used = 0;
  if (ready(ts) != 0) return -ENETDOWN;
  if (args[0] && user_string(args[0], source, sizeof source) > 0 && source[0] == '/' &&
      normalise(absolute, used, source) && is_device_path(ts, absolute))
    args[0] = ptr(absolute);
  return offload(ts, row, args);
}

}  // namespace

long do_path(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  int dir;
  const int at = path_argument(row, true, &dir);
  if (const long result = call_with_own_path(row, f, at, dir); result != kLocal) return result;
  if (starts_privately(ts->process, f, dir, at)) return -EBADF;
  const int dirfd = dir >= 0 ? static_cast<int>(f.arg(dir)) : AT_FDCWD;
  char path[abi::kMaxPath], absolute[abi::kMaxPath];
  open_how how{};
  if (row.nr == __NR_openat2) user_read(f.rdx, &how, sizeof how);
  if (resolve(ts, dirfd, f.arg(at), row.flags & abi::kFdMayBePath, path, absolute,
              how.resolve & RESOLVE_IN_ROOT) != Where::kDevice) {
    long result = follow_links(ts, row, dirfd, path, how, absolute);
    if (row.flags & abi::kMakesFd) {
      if (result == kLocal) result = open_on_host(ts, row);
      if (result >= 0) drop_stale_fd(ts, static_cast<u64>(result));
    }
    if (result != kDeviceInstead) return result;
  }
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  if (absolute[0]) {
    args[at] = ptr(absolute);
    if (dir >= 0) args[dir] = static_cast<u64>(AT_FDCWD);
  }
  if (row.nr == __NR_mount) return mount_on_device(ts, row, args);
  if (row.flags & abi::kMakesFd) {
    const u64 open_flags = row.nr == __NR_open ? f.rsi : row.nr == __NR_openat ? f.rdx : how.flags;
    return offload_new_fd(ts, row, args, open_flags & O_CLOEXEC);
  }
  if (ready(ts) != 0) return -ENETDOWN;
  if (row.nr == __NR_readlink || row.nr == __NR_readlinkat)
    return read_link(ts, row, args, equal(absolute, "/proc/thread-self/cwd"));
  return offload(ts, row, args);
}

long do_path_two(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  int first_dir, second_dir;
  const int first = path_argument(row, false, &first_dir),
            second = path_argument(row, true, &second_dir);
  if (starts_privately(ts->process, f, first_dir, first) ||
      starts_privately(ts->process, f, second_dir, second))
    return -EBADF;
  char path[abi::kMaxPath], from[abi::kMaxPath], to[abi::kMaxPath];
  const auto where = [&](int at, int dir, bool follow, char* absolute) {
    const int dirfd = dir >= 0 ? static_cast<int>(f.arg(dir)) : AT_FDCWD;
    const Where text = resolve(ts, dirfd, f.arg(at), row.flags & abi::kFdMayBePath, path, absolute);
    if (text != Where::kHost || !settings.links || !path[0]) return text;
    return leads_to_device(ts, dirfd, path, follow, absolute) ? Where::kDevice : Where::kHost;
  };
  const Where a = where(first, first_dir, follows_last(row, f, 0), from),
              b = where(second, second_dir, false, to);
  if (a == Where::kUnreadable || b == Where::kUnreadable) return kLocal;
  if (a == Where::kHost && b == Where::kHost) return kLocal;
  if (a != b) return -EXDEV;
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  if (from[0]) args[first] = ptr(from);
  if (to[0]) args[second] = ptr(to);
  if (from[0] && first_dir >= 0) args[first_dir] = static_cast<u64>(AT_FDCWD);
  if (to[0] && second_dir >= 0) args[second_dir] = static_cast<u64>(AT_FDCWD);
  if (ready(ts) != 0) return -ENETDOWN;
  return offload(ts, row, args);
}

// chdir, fchdir, getcwd. On chdir into an offloaded directory the device changes to it. The host
// changes too if it has a directory of that name, so that a relative path means the same on both
// sides.
long do_cwd(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  Process* process = ts->process;
  if (row.nr == __NR_getcwd) {
    if (!process->directory->offloaded) return kLocal;
    const u64 n = length(process->directory->path) + 1;
    if (n > f.rsi) return -ERANGE;
    return user_write(f.rdi, process->directory->path, n) ? static_cast<long>(n) : -EFAULT;
  }
  char path[abi::kMaxPath], absolute[abi::kMaxPath];
  const bool by_fd = row.nr == __NR_fchdir;
  Where where = by_fd ? (process->offloaded(f.rdi) ? Where::kDevice : Where::kHost)
                      : resolve(ts, AT_FDCWD, f.rdi, false, path, absolute);
  if (!by_fd && where == Where::kHost && settings.links && path[0] &&
      leads_to_device(ts, AT_FDCWD, path, true, absolute))
    where = Where::kDevice;
  if (by_fd && (process->flags(static_cast<u32>(f.rdi)) & kPrivate)) return -EBADF;
  if (where != Where::kDevice) {
    const long result = raw(row.nr, f.rdi);
    if (result == 0) {
      process->directory->offloaded = false;
      process->directory->path[0] = 0;
    }
    return result;
  }
  // A relative path from a directory whose name lies under no prefix goes as it is.
  const u64 args[6] = {by_fd || !absolute[0] ? f.rdi : ptr(absolute)};
  if (ready(ts) != 0) return -ENETDOWN;
  const long result = offload(ts, row, args);
  if (result < 0) return result;
  learn_offloaded_directory(ts);
  return 0;
}

}  // namespace mino::hook
