// SPDX-License-Identifier: Apache-2.0
//
// pidfd_getfd.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_fetch(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
