// SPDX-License-Identifier: Apache-2.0
//
// Waiting with a sign of life: a line on standard error if the wait takes more than a second. Used
// by `mino up` and `mino down`.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdio>

namespace mino {

// True when `fd` has something to read (or has ended) within `patience`.
inline bool wait_with_progress(int fd, std::chrono::milliseconds patience, const char* what) {
  constexpr std::chrono::milliseconds kQuiet{1000};
  pollfd wait{fd, POLLIN, 0};
  if (::poll(&wait, 1, static_cast<int>(kQuiet.count())) > 0) return true;
  std::fprintf(stderr, "mino: %s …\n", what);
  return ::poll(&wait, 1, static_cast<int>((patience - kQuiet).count())) > 0;
}

}  // namespace mino
