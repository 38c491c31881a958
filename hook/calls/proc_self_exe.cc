// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/proc_self_exe.h.
#include "hook/calls/proc_self_exe.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/path_text.h"
#include "hook/state/settings.h"

namespace mino::hook {

bool is_proc_self_exe(const char* path) {
  if (!settings.executable[0] || !starts_with(path, "/proc/")) return false;
  const char* rest = path + 6;
  if (starts_with(rest, "self/")) {
    rest += 5;
  } else if (starts_with(rest, "thread-self/")) {
    rest += 12;
  } else {
    const u64 pid = parse_number(rest);
    if (*rest++ != '/' || pid != static_cast<u64>(raw(__NR_getpid))) return false;
  }
  return equal(rest, "exe");
}

long call_with_own_path(const abi::Row& row, const Frame& f, int at, int dir) {
  char path[40];
  if (!settings.executable[0] || user_string(f.arg(at), path, sizeof path) <= 0 ||
      !is_proc_self_exe(path))
    return kLocal;
  if (row.nr == __NR_lstat || (row.nr == __NR_newfstatat && (f.r10 & AT_SYMLINK_NOFOLLOW)))
    return kLocal;
  if (row.nr == __NR_readlink || row.nr == __NR_readlinkat) {
    const u64 bytes = min(length(settings.executable), static_cast<u32>(f.arg(at + 2)));
    if (static_cast<int>(f.arg(at + 2)) <= 0) return -EINVAL;
    return user_write(f.arg(at + 1), settings.executable, bytes) ? static_cast<long>(bytes)
                                                                 : -EFAULT;
  }
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  args[at] = ptr(settings.executable);
  if (dir >= 0) args[dir] = static_cast<u64>(AT_FDCWD);
  return raw(row.nr, args[0], args[1], args[2], args[3], args[4], args[5]);
}

}  // namespace mino::hook
