// SPDX-License-Identifier: Apache-2.0
//
// Calls that change who the program is, and its umask: the device follows.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_mirror(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
