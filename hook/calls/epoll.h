// SPDX-License-Identifier: Apache-2.0
//
// epoll: sets on this host, with a companion on the device for offloaded members.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_epoll_create(ThreadState* ts, const abi::Row& row);
long do_epoll_ctl(ThreadState* ts, const abi::Row& row);
long do_epoll_wait(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
