// SPDX-License-Identifier: Apache-2.0
//
// Signal masks. Four signals are never blocked for real (kSynchronous): the hook lives by them.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

inline constexpr u64 bit(int sig) {
  return 1ull << (sig - 1);
}
inline constexpr u64 kSynchronous = bit(SIGILL) | bit(SIGBUS) | bit(SIGSEGV) | bit(SIGSYS);

// The calling thread's, in the kernel.
void set_mask(u64 mask);

// A signal mask for the time of one call (ppoll, epoll_pwait, …): set, and afterwards restored or,
// if a signal was deferred, arranged so that its handler runs under `mask` and the application goes
// on with its own.
class TemporaryMask {
 public:
  TemporaryMask(ThreadState* ts, u64 mask_pointer, u64 mask_size);
  ~TemporaryMask();
  long error() const { return error_; }  // EFAULT, EINVAL, or 0
  // The call's result. As in the kernel, only an interrupted one lets handlers run under the
  // temporary mask.
  long finish(long result) {
    interrupted_ = result == abi::kErestartnohand;
    return result;
  }

 private:
  ThreadState* ts_;
  u64 previous_ = 0, mask_ = 0;
  bool set_ = false;
  bool interrupted_ = false;
  long error_ = 0;
};

}  // namespace mino::hook
