// SPDX-License-Identifier: Apache-2.0
//
// wait, waitpid, wait3 and waitid. wait4 is in hook/preload/calls.h.
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, waitpid, int pid, int* status, int options) {
  return static_cast<int>(
      answer(mino_waiting_call(__NR_wait4, number(pid), ptr(status), number(options))));
}
MINO_EXPORT(int, __waitpid, int pid, int* status, int options) {
  return waitpid(pid, status, options);
}
MINO_EXPORT(int, wait, int* status) {
  return waitpid(-1, status, 0);
}
MINO_EXPORT(int, __wait, int* status) {
  return waitpid(-1, status, 0);
}
MINO_EXPORT(int, wait3, int* status, int options, void* usage) {
  return static_cast<int>(
      answer(mino_waiting_call(__NR_wait4, ~0ull, ptr(status), number(options), ptr(usage))));
}
MINO_EXPORT(int, waitid, int which, int pid, void* info, int options) {
  return static_cast<int>(answer(
      mino_waiting_call(__NR_waitid, number(which), number(pid), ptr(info), number(options), 0)));
}

}  // namespace mino::libc
