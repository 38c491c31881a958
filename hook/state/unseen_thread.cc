// SPDX-License-Identifier: Apache-2.0
//
// Makes the state of a thread whose start the hook did not see. Called only by hook/catch/entry.S,
// on the thread's own stack.
#include "hook/state/filters.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

extern "C" __attribute__((visibility("hidden"))) long mino_thread_new() {
  using namespace mino::hook;
  ThreadState* ts = make_thread(main_process());
  if (!ts) return false;
  ts->filters = latest_filters();
  ts->tid = static_cast<u32>(raw(__NR_gettid));
  return enter_thread(ts, fs_base());
}
