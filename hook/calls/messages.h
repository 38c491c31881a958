// SPDX-License-Identifier: Apache-2.0
//
// sendmsg, sendmmsg, recvmsg and recvmmsg: descriptors may travel with them.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_message(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
