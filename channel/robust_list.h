// SPDX-License-Identifier: Apache-2.0
//
// The list of futexes that the kernel marks FUTEX_OWNER_DIED and wakes when their owner dies, as
// set_robust_list(2) takes it (Documentation/locking/robust-futexes). By this, clients learn that
// the thread or process that serves a lane is gone. Used by engine/native/lane and
// engine/linux/session.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

namespace mino {

struct RobustEntry {
  RobustEntry* next;
};

struct RobustHead {
  RobustEntry list;
  long futex_offset;  // from an entry to its futex
  RobustEntry* pending;

  // For the calling thread; false when the kernel refuses.
  bool activate() { return ::syscall(SYS_set_robust_list, this, sizeof *this) == 0; }
  static void deactivate() { ::syscall(SYS_set_robust_list, nullptr, sizeof(RobustHead)); }
};

}  // namespace mino
