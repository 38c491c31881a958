// SPDX-License-Identifier: Apache-2.0
//
// One call to the device: windows, submission, waiting, upcalls, completion. The caller must have a
// lane (ready() in hook/device/attach.h).
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

enum CallFlags : u32 {
  kNoCancel = 1,   // no signal interrupts it: it is short, and must not happen twice or half
  kNoWindows = 2,  // only the registers travel
};

// The whole call: submit, wait, apply. Returns a restart code (-512…) only if a signal was
// deferred.
long offload(ThreadState* ts, const abi::Row& row, const u64 args[6], int install_fd = -1,
             u8 submission_flags = 0, u32 call_flags = 0);
long offload_op(ThreadState* ts, abi::Op op, u64 a, u64 b, int install_fd,
                u32 call_flags = kNoCancel);

// A call of the hook's own: short, not interrupted, at once or not at all.
long device_call(ThreadState* ts, long nr, u64 a, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0);

// What offload() does when the thread's turn on a borrowed lane is over and the call has not
// happened: others get the lane, then the thread gets one again. 0, or as ready(). attach.cc sets
// it, which is above this file.
extern long (*next_turn)(ThreadState* ts);

// The same in steps, for waits that also watch the host: start, then poll until it is done.
long offload_start(ThreadState* ts, const abi::Row& row, const u64 args[6], u8 submission_flags);
bool offload_done(ThreadState* ts, long& result);  // serves upcalls; false: not done yet
void offload_cancel(ThreadState* ts);
long offload_wait(ThreadState* ts, u32 row_index, u32 call_flags);

// How long to spin for this row before sleeping, in cycles; and how long the wait really took.
u64 spin_budget(ThreadState* ts, u32 row_index);
void learn_wait(ThreadState* ts, u32 row_index, u64 took);
bool device_alive(const ThreadState* ts);

u32 row_index(const abi::Row& row);

// The result of a call on an offloaded file after the device has died.
long dead_result(const abi::Row& row, const u64 args[6]);

}  // namespace mino::hook
