// SPDX-License-Identifier: Apache-2.0
//
// Waits for the device and the host at once. The device executes its half of a poll or epoll_wait
// as an ordinary blocking call. Meanwhile the client thread sleeps in ppoll on the host, with its
// bell (an eventfd that the device rings on completion) among the descriptors. Whichever half is
// ready first ends the wait; the other half is cancelled, and what it has found by then counts too.
#pragma once

#include "hook/base/uapi.h"
#include "hook/device/call.h"

namespace mino::hook {

struct MixedWait {
  pollfd* host;  // `count` entries, and room for two more (the bell, the control socket)
  u32 count;
  bool eager;    // check the host at once, not only after the device was quiet for a while
  int set = -1;  // if the wait must notice a stop: the epoll set of which `host` is the only entry
  bool host_ready = false;
  bool stopped = false;  // the process has been stopped and continued
  long device = 0;       // the device call's result; 0 if it was cancelled; an error
};

// Starts the device's half, and waits.
void wait_mixed(ThreadState* ts, const abi::Row& row, const u64 args[6], MixedWait& wait);

}  // namespace mino::hook
