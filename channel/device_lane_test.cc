// SPDX-License-Identifier: Apache-2.0
//
// One lane between two threads: order, stopping, sleeping, and nonsense from the client.
#include "channel/device_lane.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "channel/session_memory.h"

namespace mino {
namespace {

class DeviceLaneTest : public ::testing::Test {
 protected:
  // The part of the client, in short.
  void publish(uint64_t value) {
    abi::Submission& slot = view.submissions[submitted % abi::kRingSlots];
    slot.args[0] = value;
    slot.turn.store(++submitted, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (view.control->device_sleeping.load(std::memory_order_relaxed) != abi::kAwake)
      futex_wake(slot.turn);
  }
  int64_t await() {
    abi::Completion& slot = view.completions[completed % abi::kRingSlots];
    for (int i = 0; slot.turn.load(std::memory_order_acquire) != completed + 1; i++) {
      if (i < 100) continue;
      view.control->client_sleeping.store(abi::kOnFutex, std::memory_order_seq_cst);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      const uint32_t seen = slot.turn.load(std::memory_order_acquire);
      if (seen != completed + 1) futex_wait(slot.turn, seen);
      view.control->client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
    }
    completed++;
    return slot.result;
  }
  // Answers every submission with its argument plus one, until stopped.
  void serve() {
    while (lane.wait(stop, [this] { idles++; })) {
      const auto value = static_cast<int64_t>(lane.submission().args[0]);
      lane.consume();
      lane.complete(abi::CompletionKind::kDone, value + 1, {});
    }
  }
  void halt(std::thread& device) {
    stop = 1;
    std::atomic<bool> done{false};
    std::thread waker([this, &done] {
      while (!done) {
        lane.wake();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    device.join();
    done = true;
    waker.join();
  }

  SessionMemory memory = *SessionMemory::create(1, 1, 4096);
  abi::LaneView view = memory.lane(0);
  DeviceLane lane{view};
  std::atomic<uint32_t> stop{0};
  std::atomic<uint32_t> idles{0};
  uint32_t submitted = 0, completed = 0;
};

TEST_F(DeviceLaneTest, AnswersInOrder) {
  std::thread device([this] { serve(); });
  for (uint64_t i = 0; i < 5000; i++) {
    publish(i);
    ASSERT_EQ(await(), static_cast<int64_t>(i + 1));
    EXPECT_EQ(view.control->submission_position, i + 1);
  }
  halt(device);
}

TEST_F(DeviceLaneTest, TakesAWholeRing) {
  std::thread device([this] { serve(); });
  for (uint64_t round = 0; round < 200; round++) {
    for (uint64_t i = 0; i < abi::kRingSlots; i++) publish(round * 100 + i);
    for (uint64_t i = 0; i < abi::kRingSlots; i++) {
      ASSERT_EQ(await(), static_cast<int64_t>(round * 100 + i + 1));
    }
  }
  halt(device);
}

// Both sides sleep and wake at any moment. A lost wake-up would hang.
TEST_F(DeviceLaneTest, LosesNoWakeUp) {
  std::thread device([this] { serve(); });
  for (uint64_t i = 0; i < 300; i++) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 150));
    publish(i);
    ASSERT_EQ(await(), static_cast<int64_t>(i + 1));
  }
  EXPECT_GT(idles, 0u);
  halt(device);
}

TEST_F(DeviceLaneTest, StopsWhileAsleep) {
  std::thread device([this] { serve(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(view.control->device_sleeping, abi::kOnFutex);
  halt(device);
}

TEST_F(DeviceLaneTest, SaysWhenTheBellIsNeeded) {
  view.control->client_sleeping = abi::kOnBell;
  EXPECT_EQ(lane.complete(abi::CompletionKind::kDone, 0, {}), abi::kOnBell);
  view.control->client_sleeping = 77;  // nonsense costs one needless wake-up
  EXPECT_EQ(lane.complete(abi::CompletionKind::kDone, 0, {}), abi::kOnFutex);
  view.control->client_sleeping = abi::kAwake;
  EXPECT_EQ(lane.complete(abi::CompletionKind::kDone, 0, {}), abi::kAwake);
}

TEST_F(DeviceLaneTest, ResetStartsOver) {
  publish(1);
  ASSERT_TRUE(lane.wait(stop, [] {}));
  lane.consume();
  lane.complete(abi::CompletionKind::kDone, 0, {});
  *view.state = 1;
  lane.reset();
  EXPECT_EQ(lane.turn(), 1u);
  EXPECT_EQ(view.submissions[0].turn, 0u);
  EXPECT_EQ(view.completions[0].turn, 0u);
  EXPECT_EQ(view.control->submission_position, 0u);
  EXPECT_EQ(view.control->completion_position, 0u);
  EXPECT_EQ(*view.state, 0u);
}

}  // namespace
}  // namespace mino
