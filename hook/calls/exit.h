// SPDX-License-Identifier: Apache-2.0
//
// exit and exit_group. The host executes them. Before that, a thread that ends gives back its lane
// and its ThreadState. A process that shares its parent's memory leaves no state there.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_exit(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
