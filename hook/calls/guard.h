// SPDX-License-Identifier: Apache-2.0
//
// Calls that stay on the host, but that the hook must know of: they change what it stands on (address
// spaces, limits, namespaces, tracing), or take its place.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_guard(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
