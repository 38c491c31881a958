// SPDX-License-Identifier: Apache-2.0
//
// A system call of the hook's own that may block and that a signal for the program ends. Used
// wherever the hook waits on the host.
#pragma once

#include "hook/state/thread.h"

extern "C" {
// Returns -ERESTARTSYS if a signal is deferred before the call begins, or interrupts it so that the
// kernel would restart it (interruptible.S).
long mino_interruptible(mino::hook::ThreadState* ts, long nr, const mino::hook::u64* args)
    __attribute__((visibility("hidden")));

// Labels for the signal handler (hook/catch/on_signal.cc): it moves a thread that is between begin
// and syscall to abort. After the syscall the call's number is at the stack pointer.
extern const char mino_interruptible_begin[] __attribute__((visibility("hidden")));
extern const char mino_interruptible_syscall[] __attribute__((visibility("hidden")));
extern const char mino_interruptible_abort[] __attribute__((visibility("hidden")));
}
