// SPDX-License-Identifier: Apache-2.0
//
// The device's side of one lane: consumes submissions, produces completions, waits and wakes as
// abi/layout.h says. Used by engine/native/ (one thread per lane). Nothing read here is trusted.
// Positions are private, and the client is only told of them. A slot is ready when its turn says
// so; abi/decode.h checks whatever else it holds.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <span>

#include "abi/layout.h"
#include "abi/patience.h"
#include "channel/futex.h"

namespace mino {

class DeviceLane {
 public:
  explicit DeviceLane(const abi::LaneView& view) : view_(view) {}

  const abi::LaneView& view() const { return view_; }

  // Waits for the next submission. False when `stop` became non-zero first: whoever sets it calls
  // wake() until the waiter has noticed. `idle` is called once, when the wait has become longer
  // than a glance.
  template <class Idle>
  bool wait(const std::atomic<uint32_t>& stop, Idle&& idle);

  // The submission that wait() found, and its turn.
  const abi::Submission& submission() const { return view_.submissions[submission_ & kMask]; }
  uint32_t turn() const { return submission_ + 1; }
  // The submission has been copied: the slot belongs to the client again.
  void consume();

  // Publishes a completion. kOnBell if the caller must wake the client through its bell.
  abi::Sleeping complete(abi::CompletionKind kind, int64_t result,
                         std::span<const abi::Extent> extents);

  // Makes a sleeping wait() look at `stop`. From any thread; may miss, so repeat it.
  void wake() const;

  // Empties rings and positions, as for a new client. No wait() may run.
  void reset();

 private:
  static constexpr uint32_t kMask = abi::kRingSlots - 1;

  // Pairs with the client's release store of `turn`: when it is seen, so is the rest of the slot.
  bool ready() const {
    return submission().turn.load(std::memory_order_acquire) == submission_ + 1;
  }
  void sleep(const std::atomic<uint32_t>& stop) const;

  abi::LaneView view_;
  uint32_t submission_ = 0;  // position of the next submission
  uint32_t completion_ = 0;  // position of the next completion
  uint32_t average_wait_ = mino_patience_proxy.at_first;
  uint32_t impatient_ = 0;
};

template <class Idle>
bool DeviceLane::wait(const std::atomic<uint32_t>& stop, Idle&& idle) {
  constexpr const mino_patience& kPatience = mino_patience_proxy;
  const uint64_t start = mino_cycles();
  const uint64_t budget = mino_patience_budget(&kPatience, average_wait_, &impatient_);
  bool rested = false;
  for (;;) {
    for (uint32_t i = 0; i < kPatience.looks; i++) {
      if (ready()) {
        average_wait_ = mino_patience_learn(&kPatience, average_wait_, mino_cycles() - start);
        return true;
      }
      mino_pause();
    }
    if (stop.load(std::memory_order_acquire) != 0) return false;
    const mino_patience_step step = mino_patience_next(&kPatience, mino_cycles() - start, budget);
    if (step == MINO_LOOK_ON) continue;
    if (!rested) {
      idle();
      rested = true;
    }
    if (step == MINO_YIELD_AND_LOOK) {
      ::sched_yield();
    } else {
      sleep(stop);
    }
  }
}

}  // namespace mino
