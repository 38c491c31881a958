// SPDX-License-Identifier: Apache-2.0
//
// Calls with paths.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_path(ThreadState* ts, const abi::Row& row);
long do_path_two(ThreadState* ts, const abi::Row& row);
long do_cwd(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
