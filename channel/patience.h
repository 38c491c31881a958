// SPDX-License-Identifier: Apache-2.0
//
// How long a lane looks at its ring before it sleeps. Used by channel/device_lane only.
//
// A wake-up across cores costs 30 to 60 µs on a virtual machine, a glance at a cache line some
// nanoseconds: sleeping too early is the most expensive mistake, spinning for nothing the second.
// So the budget follows the last waits: twice the average and a little, while that is below what a
// wake-up costs; a short glance when waits have been longer than that, because spinning could then
// not have caught them.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace mino {

// A clock that costs a few nanoseconds. Cycles of the time-stamp counter (2 to 4 GHz on today's
// machines) or ticks of the generic timer, scaled to about as many.
inline uint64_t cycles() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks *
         64;  // 24 to 62.5 MHz where it is not 1 GHz; too long a spin is only a little waste
#endif
}

inline void spin_pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  asm volatile("yield");
#endif
}

class Patience {
 public:
  static constexpr uint64_t kShort = 6'000;   // about 2 µs: spin without giving up the core
  static constexpr uint64_t kLong = 150'000;  // about 50 µs: the price of a wake-up

  // In cycles. Beyond kShort the waiter yields between glances, so that the client may run on this
  // core.
  //
  // Every eighth wait is patient whatever was learnt: two sides that have both learnt to sleep
  // would otherwise keep each other asleep, because each then measures the other's wake-up.
  uint64_t budget() {
    if (average_ < kLong) return std::min(kShort + 2 * average_, kLong);
    return ++impatient_ % 8 == 0 ? kLong : kShort;
  }

  // A moving average: down at once when spinning has paid, up over about eight waits; one very long
  // wait counts no more than two sleeps.
  void learn(uint64_t took) {
    average_ = took < average_ / 2 ? (average_ + took) / 2
                                   : (average_ * 7 + std::min(took, 2 * kLong)) / 8;
  }

 private:
  uint64_t average_ = kLong / 4;
  uint32_t impatient_ = 0;
};

}  // namespace mino
