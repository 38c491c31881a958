// SPDX-License-Identifier: Apache-2.0
//
// Trace records, made by the thread that made the call.
#include "hook/trace.h"

namespace mino::hook {

void trace_begin(ThreadState*) {}
void trace_end(ThreadState*, const abi::Row&, const u64*, long) {}

}  // namespace mino::hook
