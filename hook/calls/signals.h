// SPDX-License-Identifier: Apache-2.0
//
// Calls about signals: what the program sets and asks for, and what waits for them.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_signal(ThreadState* ts, const abi::Row& row);  // all of the route kSignal
// munmap of the stack that the thread is on, by which some runtimes end a thread.
long do_munmap(ThreadState* ts);
// A read of a signalfd.
long read_signals(ThreadState* ts, long nr);

}  // namespace mino::hook
