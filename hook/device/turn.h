// SPDX-License-Identifier: Apache-2.0
//
// How long a thread may wait for the device on a borrowed lane (hook/device/lanes.h): some
// milliseconds, since other threads may have no lane. A lane of its own has no end. Used by what
// waits for the device.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

class Turn {
 public:
  explicit Turn(const ThreadState* ts);
  bool over() const;
  i64* end() { return end_[0] ? end_ : nullptr; }  // of CLOCK_MONOTONIC; nullptr: there is none
  u64 rest(i64 left[2]) const;                     // what ppoll takes: 0, or the address of `left`

 private:
  i64 end_[2] = {0, 0};
};

}  // namespace mino::hook
