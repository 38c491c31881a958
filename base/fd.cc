// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace mino {

void close_others(std::vector<int> keep, unsigned from) {
  std::sort(keep.begin(), keep.end());
  for (const int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (fd < 0 || number < from) continue;
    if (number > from) ::close_range(from, number - 1, 0);
    from = number + 1;
  }
  ::close_range(from, ~0u, 0);
}

pid_t fork_keeping(std::vector<int> keep) {
  int gate[2];
  if (::pipe2(gate, O_CLOEXEC) != 0) return -1;
  Fd closed(gate[0]), open(gate[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    closed.release();
    open.release();
    close_others(std::move(keep));
    return 0;
  }
  const int error = errno;
  open.reset();
  // A file whose server has gone holds whoever closes it: only the child, then.
  constexpr int kPatience = 1000;  // ms
  pollfd end{closed.get(), POLLIN, 0};
  while (child > 0 && ::poll(&end, 1, kPatience) < 0 && errno == EINTR) {
  }
  errno = error;
  return child;
}

}  // namespace mino
