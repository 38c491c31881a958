// SPDX-License-Identifier: Apache-2.0
//
// One call to the device: windows, submission, waiting, upcalls, completion. The caller has a lane
// (ready()).
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

enum CallFlags : u32 {
  kNoCancel = 1,  // a signal does not interrupt it (it is short, and must not happen twice or half)
  kNoWindows = 2,  // bare registers
};

// The whole of it: submit, wait, apply. Restart codes (-512…) come back only if a signal was
// deferred.
long offload(ThreadState* ts, const abi::Row& row, const u64 args[6], int install_fd = -1,
             u8 submission_flags = 0, u32 call_flags = 0);
long offload_op(ThreadState* ts, abi::Op op, u64 a, u64 b, int install_fd,
                u32 call_flags = kNoCancel);

// The same in pieces, for waits that also watch the host: start, then poll until it is done.
long offload_start(ThreadState* ts, const abi::Row& row, const u64 args[6], u8 submission_flags);
bool offload_done(ThreadState* ts, long& result);  // serves upcalls; false: not yet
void offload_cancel(ThreadState* ts);
long offload_wait(ThreadState* ts, u32 row_index, u32 call_flags);

// How long to spin for this row before sleeping, in cycles; and what it really took.
u64 spin_budget(ThreadState* ts, u32 row_index);
void learn_wait(ThreadState* ts, u32 row_index, u64 took);
bool device_alive(const ThreadState* ts);

u32 row_index(const abi::Row& row);

// What a call on an offloaded file answers when the device is gone.
long dead_result(const abi::Row& row, const u64 args[6]);

}  // namespace mino::hook
