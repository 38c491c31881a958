// SPDX-License-Identifier: Apache-2.0
//
// A system call of the hook's own that may block, and that a signal of the program's ends. Used wherever
// the hook waits on the host.
#pragma once

#include "hook/state/thread.h"

extern "C" {
// A call of the hook's own that may block (interruptible.S). A signal that is deferred meanwhile makes it
// return -ERESTARTSYS: before the call, or where the kernel would restart it.
long mino_interruptible(mino::hook::ThreadState* ts, long nr, const mino::hook::u64* args)
    __attribute__((visibility("hidden")));

// Where that is: the handler of signals (hook/catch/on_signal.cc) moves a thread that is between begin and
// syscall to abort.
extern const char mino_interruptible_begin[] __attribute__((visibility("hidden")));
extern const char mino_interruptible_syscall[] __attribute__((visibility("hidden")));
extern const char mino_interruptible_abort[] __attribute__((visibility("hidden")));
}
