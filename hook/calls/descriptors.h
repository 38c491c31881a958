// SPDX-License-Identifier: Apache-2.0
//
// Calls that make, copy and close descriptors: socket, close, close_range, dup, fcntl. Their rules:
// an offloaded file has the same number on both sides; the placeholder comes first and goes last; a
// number is flagged kOffloaded exactly while the device has a file there.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_socket(ThreadState* ts, const abi::Row& row);
long do_close(ThreadState* ts, const abi::Row& row);
long do_close_range(ThreadState* ts, const abi::Row& row);
long do_dup(ThreadState* ts, const abi::Row& row);
long do_fcntl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
