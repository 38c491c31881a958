// SPDX-License-Identifier: Apache-2.0
//
// sendmsg, sendmmsg, recvmsg and recvmmsg. On offloaded sockets they are calls like any other. On
// local AF_UNIX sockets they may pass descriptors (SCM_RIGHTS), and in place of an offloaded file a
// parcel is passed (abi/parcel.h).
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_message(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
