// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/private_descriptors.h.
#include "hook/state/private_descriptors.h"

#include "hook/base/limits.h"
#include "hook/base/uapi.h"

namespace mino::hook {

int make_private(Process* process, int fd) {
  // Above the soft limit if possible: there it takes no number away from the program, and nothing
  // that the program counts changes.
  constexpr u64 kHighest = 4096;  // the kernel's table grows to the highest number in use
  constexpr u64 kRoom = 64;
  const u64 limit = number_limit(), from = limit < kHighest ? limit : kHighest;
  const auto move = [fd](u64 lowest) {
    return raw(__NR_fcntl, static_cast<u64>(fd), F_DUPFD_CLOEXEC, lowest);
  };
  long moved;
  if (limit >= from + kRoom) {
    moved = move(from);
  } else {
    const LiftedLimits more(LiftedLimits::kNumbers);
    moved = move(from);
  }
  // Else out of the way of the lowest, at least: programs expect 3 as their first.
  if (is_error(moved)) moved = move(from > 32 ? from - 16 : from / 2);
  if (is_error(moved)) {
    moved = fd;
    raw(__NR_fcntl, static_cast<u64>(fd), F_SETFD, FD_CLOEXEC);
  } else {
    raw(__NR_close, static_cast<u64>(fd));
  }
  process->set_flags(static_cast<u64>(moved), kPrivate);
  return static_cast<int>(moved);
}

void close_private(Process* process, int& fd) {
  if (fd < 0) return;
  process->set_flags(static_cast<u64>(fd), 0);
  raw(__NR_close, static_cast<u64>(fd));
  fd = -1;
}

void learn_open_limit(Process* process) {
  process->open_limit = number_limit();
}

}  // namespace mino::hook
