// SPDX-License-Identifier: Apache-2.0
//
// epoll over local and offloaded files. Every set is a real epoll file on the host. When the first
// offloaded file is added to it, it gets a companion: a set with the same number on the device.
// Level, edge, oneshot, exclusive and nested behaviour are therefore Linux's own on either side. A
// wait asks both sides (hook/device/mixed_wait.h). Used by hook/dispatch.cc; an event of the hook's
// own descriptors must never reach the program.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_epoll_create(ThreadState* ts, const abi::Row& row);
long do_epoll_ctl(ThreadState* ts, const abi::Row& row);
long do_epoll_wait(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
