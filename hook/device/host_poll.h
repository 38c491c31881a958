// SPDX-License-Identifier: Apache-2.0
//
// poll on the host whatever RLIMIT_NOFILE says. The kernel refuses more entries than that limit,
// but the entries of a select, and those that the hook adds, are not the program's. Used by
// mixed_wait.cc and hook/calls/poll.cc.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

struct TimeSpec {
  i64 seconds, nanoseconds;
};

// How many entries are ready; 0 after `timeout` (nullptr: never), which is counted down, or without
// a reason; -ERESTARTNOHAND after a signal. Above the limit, entries without events are left out,
// and the states that are found are those that select knows.
long poll_host(ThreadState* ts, pollfd* entries, u64 count, TimeSpec* timeout);
// The same without waiting.
long poll_host_now(pollfd* entries, u64 count);

}  // namespace mino::hook
