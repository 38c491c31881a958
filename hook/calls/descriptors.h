// SPDX-License-Identifier: Apache-2.0
//
// Calls that make, copy and close descriptors.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_socket(ThreadState* ts, const abi::Row& row);
long do_close(ThreadState* ts, const abi::Row& row);
long do_close_range(ThreadState* ts, const abi::Row& row);
long do_dup(ThreadState* ts, const abi::Row& row);
long do_fcntl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
