// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/turn.h.
#include "hook/device/turn.h"

#include "hook/base/uapi.h"

namespace mino::hook {

constexpr i64 kTurn = 1'000'000;  // ns

Turn::Turn(const ThreadState* ts) {
  if (!ts->lane_borrowed) return;
  raw(__NR_clock_gettime, CLOCK_MONOTONIC, ptr(end_));
  end_[1] += kTurn;
  end_[0] += end_[1] / 1'000'000'000;
  end_[1] %= 1'000'000'000;
}

u64 Turn::rest(i64 left[2]) const {
  left[0] = left[1] = 0;
  if (!end_[0]) return 0;
  i64 now[2];
  raw(__NR_clock_gettime, CLOCK_MONOTONIC, ptr(now));
  const i64 ns = (end_[0] - now[0]) * 1'000'000'000 + end_[1] - now[1];
  left[1] = ns > 0 ? ns : 0;
  return ptr(left);
}

bool Turn::over() const {
  i64 left[2];
  return end_[0] && rest(left) && left[1] == 0;
}

}  // namespace mino::hook
