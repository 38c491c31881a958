// SPDX-License-Identifier: Apache-2.0
//
// Epoll sets that came by exec: what is registered in them, from the device. The numbers are those
// of this process. Used by epoll.cc.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

// Tells the shadow (hook/calls/epoll_shadow.h) about the members of a set that it does not know.
// The set must have a companion, and the thread a lane.
void learn_members(ThreadState* ts, u64 epfd);

}  // namespace mino::hook
