// SPDX-License-Identifier: Apache-2.0
//
// Signal masks, for the signal handler and for calls that wait with a mask of their own
// (hook/calls/poll.cc, hook/calls/epoll.cc). Four signals must never really be blocked
// (kSynchronous), because the hook depends on them.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

inline constexpr u64 bit(int sig) {
  return 1ull << (sig - 1);
}
inline constexpr int kSynchronousSignals[4] = {SIGILL, SIGBUS, SIGSEGV, SIGSYS};
inline constexpr u64 kSynchronous = bit(SIGILL) | bit(SIGBUS) | bit(SIGSEGV) | bit(SIGSYS);

// Sets the calling thread's mask in the kernel.
void set_mask(u64 mask);

// A signal mask for the duration of one call (ppoll, epoll_pwait, …). It is set at the start. At
// the end the old mask is restored; or, if a signal was deferred, its handler will run under the
// temporary mask and the program continues with its own.
class TemporaryMask {
 public:
  TemporaryMask(ThreadState* ts, u64 mask_pointer, u64 mask_size);
  ~TemporaryMask();
  long error() const { return error_; }  // EFAULT, EINVAL, or 0
  // Takes the call's result. As in the kernel, handlers run under the temporary mask only if the
  // call was interrupted.
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
