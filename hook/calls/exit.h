// SPDX-License-Identifier: Apache-2.0
//
// exit and exit_group: the device learns of the end before the host does.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_exit(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
