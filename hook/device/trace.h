// SPDX-License-Identifier: Apache-2.0
//
// `mino run --trace`: one record per finished offloaded call, sent to the trace socket whose other
// end mino holds. The hook only copies; mino does the decoding (cli/trace.h, format in
// abi/trace.h).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// trace_begin notes when the call starts; trace_end sends the record. Both do nothing unless
// tracing is on.
void trace_begin(ThreadState* ts);
void trace_end(ThreadState* ts, const abi::Row& row, const u64 args[6], long result);

}  // namespace mino::hook
