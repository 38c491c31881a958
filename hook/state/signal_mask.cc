// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/signal_mask.h.
#include "hook/state/signal_mask.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"

namespace mino::hook {

void set_mask(u64 mask) {
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&mask), 0, sizeof mask);
}

TemporaryMask::TemporaryMask(ThreadState* ts, u64 mask_pointer, u64 mask_size) : ts_(ts) {
  if (!mask_pointer) return;
  u64 mask = 0;
  if (mask_size != 8) {
    error_ = -EINVAL;
  } else if (!user_read(mask_pointer, &mask, 8)) {
    error_ = -EFAULT;
  } else {
    // With everything blocked, `deferred` cannot change for a moment.
    const u64 all = ~kSynchronous;
    mask_ = mask & ~kSynchronous;
    set_ = true;
    raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&all), ptr(&previous_), sizeof all);
    if (ts->deferred & kQueued) previous_ = ts->resume_mask;
    set_mask(mask_);
  }
}

TemporaryMask::~TemporaryMask() {
  if (!set_) return;
  set_mask(~kSynchronous);
  if (ts_->deferred) {
    ts_->window_mask = interrupted_ ? mask_ : previous_;
    ts_->resume_mask = previous_;
    ts_->deferred |= kQueued;
  } else {
    set_mask(previous_);
  }
}

}  // namespace mino::hook
