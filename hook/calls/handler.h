// SPDX-License-Identifier: Apache-2.0
//
// Handlers: one per Route (abi/shape.h). A handler decides where the call in ts->frame runs. It
// answers kLocal (execute it on the host, with the application's registers and stack), or the
// result.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A result that no kernel call has: "not for me".
inline constexpr long kLocal = -0x10000;

long offload_frame(ThreadState* ts, const abi::Row& row);  // the frame's own arguments
long offload_new_fd(ThreadState* ts, const abi::Row& row, const u64 args[6], bool cloexec);
// The host has given out a number. Were it flagged still, it has been closed where no tier but the
// trap sees it: what the device has there is closed, too, before the number means something else.
void closed_unseen(ThreadState* ts, u64 fd);
// … unless it has answered an error: from here on the number is a local file's, of these FdFlags.
long made_here(ThreadState* ts, long fd, u8 flags);

// The device's half of a close. It always happens: neither signals nor errors leave the number open.
long close_on_device(ThreadState* ts, u64 fd);
void forget(ThreadState* ts, u64 fd);  // … and what the hook has kept of it

inline bool on_device(u8 fd_flags) {
  return fd_flags & (kOffloaded | kCompanion);
}

}  // namespace mino::hook
