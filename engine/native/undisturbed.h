// SPDX-License-Identifier: Apache-2.0
//
// A stretch of code during which no signal interrupts the thread: for code that must not be
// executed again when growth of the file table kicks the lanes. Used by operations.cc and fork.cc.
#pragma once

#include <csignal>

namespace mino {

class Undisturbed {
 public:
  Undisturbed() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~Undisturbed() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;

 private:
  sigset_t before_;
};

}  // namespace mino
