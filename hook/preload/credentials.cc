// SPDX-License-Identifier: Apache-2.0
//
// setuid and the like. A system call changes one thread, and libc changes all of them. The hook
// makes the call in the calling thread first, so that its lane on the device follows.
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

namespace mino::hook {

namespace {

// Makes the call through the hook in this thread and, if there are others, through libc in all.
template <class... Arguments>
long set_everywhere(const char* name, long nr, Arguments... arguments) {
  if (hook_started()) {
    const long result = mino_call(nr, static_cast<u64>(arguments)...);
    if (is_error(result) || only_thread()) return answer(result);
  }
  return real<int (*)(Arguments...)>(name)(arguments...);
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, setuid, u32 user) {
  return static_cast<int>(set_everywhere("setuid", __NR_setuid, user));
}
MINO_EXPORT(int, setgid, u32 group) {
  return static_cast<int>(set_everywhere("setgid", __NR_setgid, group));
}
MINO_EXPORT(int, setreuid, u32 user, u32 effective) {
  return static_cast<int>(set_everywhere("setreuid", __NR_setreuid, user, effective));
}
MINO_EXPORT(int, setregid, u32 group, u32 effective) {
  return static_cast<int>(set_everywhere("setregid", __NR_setregid, group, effective));
}
MINO_EXPORT(int, setresuid, u32 user, u32 effective, u32 saved) {
  return static_cast<int>(set_everywhere("setresuid", __NR_setresuid, user, effective, saved));
}
MINO_EXPORT(int, setresgid, u32 group, u32 effective, u32 saved) {
  return static_cast<int>(set_everywhere("setresgid", __NR_setresgid, group, effective, saved));
}
MINO_EXPORT(int, seteuid, u32 effective) {
  return setresuid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setegid, u32 effective) {
  return setresgid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setgroups, u64 count, const u32* groups) {
  return static_cast<int>(set_everywhere("setgroups", __NR_setgroups, count, ptr(groups)));
}
MINO_EXPORT(int, initgroups, const char* user, u32 group) {
  const int result = real<int (*)(const char*, u32)>("initgroups")(user, group);
  if (result != 0 || !hook_started()) return result;
  static u32 groups[NGROUPS_MAX];
  const long count = raw(__NR_getgroups, sizeof groups / sizeof *groups, ptr(groups));
  if (!is_error(count)) mino_call(__NR_setgroups, static_cast<u64>(count), ptr(groups));
  return 0;
}

}  // namespace mino::libc
