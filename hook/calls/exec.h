// SPDX-License-Identifier: Apache-2.0
//
// execve and execveat.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_exec(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
