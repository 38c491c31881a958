// SPDX-License-Identifier: Apache-2.0
//
// Offloaded netlink sockets: their port ids, and the numbers of files and processes in what they
// carry (hook/state/netlink_numbers.h). Used by hook/dispatch.cc and hook/calls/messages.cc for
// calls on descriptors with kMaybeNetlink.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/thread.h"

namespace mino::hook {

long do_netlink(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
