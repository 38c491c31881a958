// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/private_descriptors.h.
#include "hook/state/private_descriptors.h"

#include "hook/base/uapi.h"

namespace mino::hook {

int make_private(Process* process, int fd) {
  // Above the soft limit if possible: there it takes no number away from the program, and nothing
  // that the program counts changes.
  u64 limit[2] = {1024, 1024};
  raw(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, ptr(limit));
  constexpr u64 kHighest = 4096;  // the kernel's table grows to the highest number in use
  const u64 from = limit[0] < kHighest ? limit[0] : kHighest;
  u64 raised[2] = {from + 64, limit[1] > from + 64 ? limit[1] : from + 64};
  const bool raise = limit[0] < from + 64;
  const bool did = raise && raw(__NR_prlimit64, 0, RLIMIT_NOFILE, ptr(raised), 0) == 0;
  long moved =
      raw(__NR_fcntl, static_cast<u64>(fd), F_DUPFD_CLOEXEC, did || !raise ? from : from - 16);
  if (did) raw(__NR_prlimit64, 0, RLIMIT_NOFILE, ptr(limit), 0);
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

MoreNumbers::MoreNumbers() {
  // The program may have numbers above its limit, and all below may be in use.
  constexpr u64 kRoom = 4096 + 64;
  raw(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, ptr(limit_));
  const u64 wanted = limit_[0] + kRoom;
  const u64 both[2] = {wanted, limit_[1] < wanted ? wanted : limit_[1]};
  const u64 soft[2] = {limit_[1], limit_[1]};
  raised_ = raw(__NR_prlimit64, 0, RLIMIT_NOFILE, ptr(both), 0) == 0 ||
            (soft[0] > limit_[0] && raw(__NR_prlimit64, 0, RLIMIT_NOFILE, ptr(soft), 0) == 0);
}

MoreNumbers::~MoreNumbers() {
  if (raised_) raw(__NR_prlimit64, 0, RLIMIT_NOFILE, ptr(limit_), 0);
}

void learn_open_limit(Process* process) {
  u64 limit[2] = {~0ull, ~0ull};
  raw(__NR_prlimit64, 0, RLIMIT_NOFILE, 0, ptr(limit));
  process->open_limit = limit[0];
}

}  // namespace mino::hook
