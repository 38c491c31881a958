// SPDX-License-Identifier: Apache-2.0
//
// poll, ppoll, select and pselect6 over local and offloaded files. A select becomes a poll. The
// device watches one array with the offloaded entries, the host one with the others, and the
// results are merged by index.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_poll(ThreadState* ts, const abi::Row& row);
long do_select(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
