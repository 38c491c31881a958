// SPDX-License-Identifier: Apache-2.0
//
// Waiting for the device and for the host at once. The device executes its half of a poll or
// epoll_wait as an ordinary blocking call; meanwhile the client thread sleeps in the host kernel's
// ppoll, with its bell (an eventfd that the device rings at completion) among the descriptors.
// Whoever comes first ends the wait; the other half is cancelled, and what it had found by then
// counts too.
#pragma once

#include "hook/base/uapi.h"
#include "hook/device/call.h"

namespace mino::hook {

struct MixedWait {
  pollfd* host;  // `count` entries, and room for two more (the bell, the control socket)
  u32 count;
  bool eager;  // look at the host before, not only when the device had nothing for a while
  bool host_ready = false;
  long device = 0;  // the device call's result; 0 if it was cancelled; an error
};

// The device's half must have been started with kFlagBell.
void wait_mixed(ThreadState* ts, u32 row_index, MixedWait& wait);

// With the device dead, its files are ready for ever, and some programs would spin on that: the
// second and later reports in a process come no faster than this lets them.
void slow_down_dead(ThreadState* ts);

// The thread's bell exists and the device has it.
bool prepare_bell(ThreadState* ts);

}  // namespace mino::hook
