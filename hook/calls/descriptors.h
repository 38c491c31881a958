// SPDX-License-Identifier: Apache-2.0
//
// Calls that make, copy and close descriptors: socket, close, close_range, dup, fcntl. Used by
// hook/dispatch.cc. The rules for numbers: an offloaded file has the same number on both sides. On
// the host a placeholder (a memfd) has that number; it is made before the device's file and closed
// after it. A number is flagged kOffloaded exactly while the device has a file there.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_socket(ThreadState* ts, const abi::Row& row);
long do_close(ThreadState* ts, const abi::Row& row);
long do_close_range(ThreadState* ts, const abi::Row& row);
long do_dup(ThreadState* ts, const abi::Row& row);
long do_fcntl(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
