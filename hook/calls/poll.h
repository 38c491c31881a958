// SPDX-License-Identifier: Apache-2.0
//
// poll, ppoll, select and pselect6, over descriptors of both sides.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_poll(ThreadState* ts, const abi::Row& row);
long do_select(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
