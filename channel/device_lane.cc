// SPDX-License-Identifier: Apache-2.0
#include "channel/device_lane.h"

#include <algorithm>

namespace mino {

void DeviceLane::consume() {
  submission_++;
  view_.control->submission_position.store(submission_, std::memory_order_relaxed);
}

abi::Sleeping DeviceLane::complete(abi::CompletionKind kind, int64_t result,
                                   std::span<const abi::Extent> extents) {
  abi::Completion& slot = view_.completions[completion_ & kMask];
  const size_t count = std::min<size_t>(extents.size(), abi::kMaxExtents);
  slot.kind = static_cast<uint8_t>(kind);
  slot.extent_count = static_cast<uint16_t>(count);
  slot.result = result;
  std::copy_n(extents.begin(), count, slot.extents);
  completion_++;
  view_.control->completion_position.store(completion_, std::memory_order_relaxed);
  // Pairs with the client's acquire load of `turn`.
  slot.turn.store(completion_, std::memory_order_release);
  // Pairs with the fence between the client's store of client_sleeping and its second look at the
  // slot.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  switch (view_.control->client_sleeping.load(std::memory_order_relaxed)) {
    case abi::kAwake:
      return abi::kAwake;
    case abi::kOnBell:
      return abi::kOnBell;
    default:
      futex_wake(slot.turn);
      return abi::kOnFutex;
  }
}

void DeviceLane::sleep(const std::atomic<uint32_t>& stop) const {
  const std::atomic<uint32_t>& turn = submission().turn;
  view_.control->device_sleeping.store(abi::kOnFutex, std::memory_order_seq_cst);
  // Pairs with the fence after the client's publication: one of the two sees the other's store.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint32_t seen = turn.load(std::memory_order_acquire);
  if (seen != submission_ + 1 && stop.load(std::memory_order_acquire) == 0) futex_wait(turn, seen);
  view_.control->device_sleeping.store(abi::kAwake, std::memory_order_relaxed);
}

void DeviceLane::wake() const {
  for (uint32_t i = 0; i < abi::kRingSlots; i++) futex_wake(view_.submissions[i].turn);
}

void DeviceLane::reset() {
  submission_ = completion_ = 0;
  for (uint32_t i = 0; i < abi::kRingSlots; i++) {
    view_.submissions[i].turn.store(0, std::memory_order_relaxed);
    view_.completions[i].turn.store(0, std::memory_order_relaxed);
  }
  abi::LaneControl& control = *view_.control;
  control.client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  control.cancel_turn.store(0, std::memory_order_relaxed);
  control.device_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  control.submission_position.store(0, std::memory_order_relaxed);
  control.completion_position.store(0, std::memory_order_relaxed);
  view_.state->store(static_cast<uint32_t>(abi::LaneState::kFree), std::memory_order_release);
}

}  // namespace mino
