// SPDX-License-Identifier: Apache-2.0
//
// getsockopt on an offloaded socket: an option may be a new descriptor.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_getsockopt(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
