// SPDX-License-Identifier: Apache-2.0
//
// What hook/catch/entry.S defines, for C++. The handlers in this room redirect threads to these
// labels.
#pragma once

#include "hook/base/raw.h"

extern "C" {
// Where sites and signals enter; and where the frame of a handler returns to.
extern const char mino_entry[] __attribute__((visibility("hidden")));
extern const char mino_signal[] __attribute__((visibility("hidden")));
extern const char mino_restore_rt[] __attribute__((visibility("hidden")));
// The instruction that makes the program's calls that stay on the host. The call's number, the
// distance back to where it can be restarted and the return address are at the stack pointer.
extern const char mino_local_syscall[] __attribute__((visibility("hidden")));
// Where the kernel delivers what was deferred.
extern const char mino_window_begin[] __attribute__((visibility("hidden")));
extern const char mino_window_end[] __attribute__((visibility("hidden")));
// int $0x80 with these registers: %eax, %ebx, %ecx, %edx, %esi, %edi, %ebp. The result is stored in
// the first.
void mino_call_32(mino::hook::u64* registers) __attribute__((visibility("hidden")));
// clone or clone3, with five arguments, into a child that shares our memory.
long mino_clone_vm(long nr, mino::hook::u64, mino::hook::u64, mino::hook::u64, mino::hook::u64,
                   mino::hook::u64) __attribute__((visibility("hidden")));
}
