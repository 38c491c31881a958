// SPDX-License-Identifier: Apache-2.0
//
// What handlers have in common. There is one handler per Route (abi/shape.h), called by
// hook/dispatch.cc. It decides where the call in ts->frame runs. It returns the call's result, or
// kLocal: then the call is executed on the host, with the program's registers and stack. A handler
// must not have made the call when it returns kLocal.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A result that no system call has.
inline constexpr long kLocal = -0x10000;

// Makes the call on the device, with the frame's arguments.
long offload_frame(ThreadState* ts, const abi::Row& row);
// Makes a call on the device whose result is a new descriptor. The host chooses the number.
long offload_new_fd(ThreadState* ts, const abi::Row& row, const u64 args[6], bool cloexec);
// Takes a number on the host for a file that the device is about to make: the number, at which a
// placeholder stands now, or the error. There must be a session.
long take_number(ThreadState* ts, bool cloexec);
// The host has given out a number. If it is still flagged, the program has closed it where only the
// trap sees it. Then this closes the device's file too, before the number means something else.
void drop_stale_fd(ThreadState* ts, u64 fd);
// A call on the host has made the descriptor `fd` (or failed, if that is an error). Notes these
// FdFlags for it. Returns `fd`.
long register_local_fd(ThreadState* ts, long fd, u8 flags);

// Closes the device's file. It always happens: neither signals nor errors leave the number open.
long close_on_device(ThreadState* ts, u64 fd);
// Clears what the hook has noted for a descriptor.
void forget_fd(ThreadState* ts, u64 fd);
// Both, and closes the number on the host: for a file of the device that the hook has opened.
void close_everywhere(ThreadState* ts, u64 fd);

inline bool on_device(u8 fd_flags) {
  return fd_flags & (kOffloaded | kCompanion);
}

}  // namespace mino::hook
