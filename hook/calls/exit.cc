// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/exit.h.
#include "hook/calls/exit.h"

#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/sharing.h"

namespace mino::hook {

long do_exit(ThreadState* ts, const abi::Row& row) {
  if (row.nr == __NR_exit_group) {
    // A process that shares its parent's memory must not leave its state there.
    if (ts->process->table()->shared) release_lane(ts);
    if (ts->process->shares_memory && !ts->suspended) leave_thread(ts);
    return kLocal;
  }
  release_lane(ts);
  leave_process(ts);
  leave_thread(ts);
  // From now on the stack of its signals is free for another thread.
  const u64 all = ~u64{0};
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&all), 0, 8);
  return kLocal;
}

}  // namespace mino::hook
