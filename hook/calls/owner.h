// SPDX-License-Identifier: Apache-2.0
//
// The owner of an offloaded file: who gets SIGIO and SIGURG (F_SETOWN, FIOSETOWN and their like).
// The native engine's kernel is the program's own. The linux engine's is told the numbers of this
// host, and has a task stand for each (kernel/usrcall_owner.c). Used by descriptors.cc.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/thread.h"

namespace mino::hook {

bool is_owner_fcntl(u64 command);
bool is_owner_ioctl(u32 request);

// For an offloaded descriptor; the result is the application's.
long owner_fcntl(ThreadState* ts, const abi::Row& row);
long owner_ioctl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
