// SPDX-License-Identifier: Apache-2.0
//
// SECCOMP_MODE_STRICT. The kernel's own strict mode would kill the hook too. So it is a filter with
// the same list of calls (hook/calls/seccomp.cc); its verdict is carried out here.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// Ends a thread that has made a call which strict mode forbids.
[[noreturn]] void end_strict(ThreadState* ts);

}  // namespace mino::hook
