// SPDX-License-Identifier: Apache-2.0
//
// poll, ppoll, select and pselect6 over local and offloaded files. A select becomes a poll. There
// are two arrays: the device watches that with the offloaded entries, the host that with the local
// ones, and the results are merged by index. Used by hook/dispatch.cc. An offloaded number must
// never be polled on the host, where it is only a placeholder.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_poll(ThreadState* ts, const abi::Row& row);
long do_select(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
