// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

namespace mino {
namespace {

// When fork_keeping() returns, the child holds nothing but what it keeps, however long it lives.
TEST(ForkKeeping, TheChildHoldsNothingElse) {
  for (int round = 0; round < 20; round++) {
    int ends[2], kept[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(kept, O_CLOEXEC), 0);
    Fd reader(ends[0]), writer(ends[1]), end(kept[0]), own(kept[1]);
    const pid_t child = fork_keeping({end.get()});
    ASSERT_GE(child, 0);
    if (child == 0) {
      char byte;
      ::_exit(::read(end.get(), &byte, 1) == 0 ? 0 : 1);
    }
    writer.reset();
    pollfd closed{reader.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&closed, 1, 0), 1);
    EXPECT_EQ(closed.revents, POLLHUP);
    own.reset();
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
}

TEST(CloseOthers, KeepsWhatIsNamed) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int low = ::fcntl(1, F_DUPFD, 20), high = ::fcntl(1, F_DUPFD, 30);
    close_others({high, -1, low});
    bool good = ::fcntl(1, F_GETFD) >= 0;
    for (int fd = 3; fd < 64; fd++)
      good &= (::fcntl(fd, F_GETFD) >= 0) == (fd == low || fd == high);
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mino
