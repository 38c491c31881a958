// SPDX-License-Identifier: Apache-2.0
//
// SECCOMP_MODE_STRICT. The kernel's own would end the hook, too: so it is a filter with the same list
// (hook/calls/seccomp.cc), whose verdict is carried out here.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// A thread in strict mode (SECCOMP_MODE_STRICT) made another call than it may.
[[noreturn]] void end_strict(ThreadState* ts);

}  // namespace mino::hook
