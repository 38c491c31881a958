// SPDX-License-Identifier: Apache-2.0
//
// ioctl. The descriptor decides where it runs, except for requests about network interfaces: these
// go to the device even from a local socket.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_ioctl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
