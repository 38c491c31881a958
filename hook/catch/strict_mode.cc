// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/strict_mode.h.
#include "hook/catch/strict_mode.h"

#include "hook/base/uapi.h"
#include "hook/device/attach.h"

namespace mino::hook {

void end_strict(ThreadState* ts) {
  u32 threads = 0;
  for (const ThreadState* t = first_thread(); t; t = t->next)
    threads += !t->exiting && t->group == ts->group;
  if (threads == 1) {
    raw(__NR_tgkill, static_cast<u64>(raw(__NR_getpid)), static_cast<u64>(raw(__NR_gettid)),
        SIGKILL);
  }
  // The other threads live on. A call that the hook was executing, if any, stays as it is.
  if (ts->in_hook == kOutside) {
    ts->in_hook = kInside;
    release_lane(ts);
    leave_thread(ts);
    ts->in_hook = kOutside;
  }
  for (;;) raw(__NR_exit, SIGKILL);
}

}  // namespace mino::hook
