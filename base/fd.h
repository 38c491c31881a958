// SPDX-License-Identifier: Apache-2.0
//
// An owned file descriptor: closed once, moved, never copied. Used everywhere outside hook/.
#pragma once

#include <unistd.h>

#include <utility>
#include <vector>

namespace mino {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// Closes every descriptor from `from` on, except those in `keep`. For a fresh child, which must
// never destroy the Fd objects that hold the others.
void close_others(std::vector<int> keep, unsigned from = 3);

// fork() for a process that holds files of others: when it goes on, the child has closed all but
// `keep` and 0 to 2. So no copy in a child that has not run yet keeps a file open. -1 with errno.
pid_t fork_keeping(std::vector<int> keep);

}  // namespace mino
