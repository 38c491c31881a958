// SPDX-License-Identifier: Apache-2.0
//
// `mino run --trace`: one record per finished offloaded call, sent to the trace socket that mino
// holds the other end of. The hook only copies; decoding is mino's work (cli/trace.h, format in
// abi/trace.h).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// Before a call: where it starts. After it: the record. Both do nothing unless tracing is on.
void trace_begin(ThreadState* ts);
void trace_end(ThreadState* ts, const abi::Row& row, const u64 args[6], long result);

}  // namespace mino::hook
