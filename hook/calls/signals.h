// SPDX-License-Identifier: Apache-2.0
//
// Calls about signals: rt_sigaction, rt_sigprocmask, sigaltstack, rt_sigtimedwait, signalfd. They
// run on the host, but the hook must keep its own handlers and never block the signals that it
// needs (hook/catch/on_signal.h). What the program set and blocked is remembered and reported.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_signal(ThreadState* ts, const abi::Row& row);
// poll, select, epoll_wait by `wait`: a signalfd among the files finds the signals that are held.
using Wait = long(ThreadState* ts, const abi::Row& row);
long wait_with_signalfd(ThreadState* ts, const abi::Row& row, Wait wait);
// A read of a signalfd.
long read_signals(ThreadState* ts, long nr);

}  // namespace mino::hook
