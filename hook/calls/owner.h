// SPDX-License-Identifier: Apache-2.0
//
// The owner of an offloaded file, who gets SIGIO and SIGURG (F_SETOWN, FIOSETOWN and the like).
// With the native engine the kernel knows the program's ids. A linux engine is told the ids on the
// host, and has a task stand for each (kernel/usrcall_owner.c). Used by descriptors.cc and
// ioctl.cc.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/thread.h"

namespace mino::hook {

bool is_owner_fcntl(u64 command);
bool is_owner_ioctl(u32 request);

// For an offloaded descriptor. Returns the call's result.
long owner_fcntl(ThreadState* ts, const abi::Row& row);
long owner_ioctl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
