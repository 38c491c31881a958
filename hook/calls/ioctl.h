// SPDX-License-Identifier: Apache-2.0
//
// ioctl: by the descriptor, or about the network's interfaces.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_ioctl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
