// SPDX-License-Identifier: Apache-2.0
//
// setuid and the like. A system call changes one thread, and libc changes all of them. The hook
// makes the call in the calling thread first, so that its lane on the device follows.
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

namespace mino::hook {

namespace {

// A call that libc makes in every thread: in this one, and for its lane, the hook does it first.
template <class... Arguments>
long mirrored(const char* name, long nr, Arguments... arguments) {
  if (held()) {
    const long result = mino_call(nr, static_cast<u64>(arguments)...);
    if (is_error(result) || alone()) return answer(result);
  }
  return real<int (*)(Arguments...)>(name)(arguments...);
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, setuid, u32 user) {
  return static_cast<int>(mirrored("setuid", __NR_setuid, user));
}
MINO_EXPORT(int, setgid, u32 group) {
  return static_cast<int>(mirrored("setgid", __NR_setgid, group));
}
MINO_EXPORT(int, setreuid, u32 user, u32 effective) {
  return static_cast<int>(mirrored("setreuid", __NR_setreuid, user, effective));
}
MINO_EXPORT(int, setregid, u32 group, u32 effective) {
  return static_cast<int>(mirrored("setregid", __NR_setregid, group, effective));
}
MINO_EXPORT(int, setresuid, u32 user, u32 effective, u32 saved) {
  return static_cast<int>(mirrored("setresuid", __NR_setresuid, user, effective, saved));
}
MINO_EXPORT(int, setresgid, u32 group, u32 effective, u32 saved) {
  return static_cast<int>(mirrored("setresgid", __NR_setresgid, group, effective, saved));
}
MINO_EXPORT(int, seteuid, u32 effective) {
  return setresuid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setegid, u32 effective) {
  return setresgid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setgroups, u64 count, const u32* groups) {
  return static_cast<int>(mirrored("setgroups", __NR_setgroups, count, ptr(groups)));
}
MINO_EXPORT(int, initgroups, const char* user, u32 group) {
  const int result = real<int (*)(const char*, u32)>("initgroups")(user, group);
  if (result != 0 || !held()) return result;
  static u32 groups[65536];  // NGROUPS_MAX
  const long count = raw(__NR_getgroups, sizeof groups / sizeof *groups, ptr(groups));
  if (!is_error(count)) mino_call(__NR_setgroups, static_cast<u64>(count), ptr(groups));
  return 0;
}

}  // namespace mino::libc
