// SPDX-License-Identifier: Apache-2.0
//
// wait4 and waitid: after them, what the child held on the device is free, too.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_wait(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
