// SPDX-License-Identifier: Apache-2.0
//
// Syscall User Dispatch: the kernel turns every system call from outside this library's text into
// SIGSYS (Documentation/admin-guide/syscall-user-dispatch.rst). The handler does not execute the
// call. It redirects the thread to mino_entry, as if the site were patched, so that all calls take
// one path.
#pragma once

#include "hook/catch/context.h"

namespace mino::hook {

// Arms the trap for the calling thread; false if this kernel refuses. fork, clone and exec disarm
// it.
bool arm_dispatch();

bool disarm_dispatch();

// For SIGSYS: true if it was a dispatched call; the context now enters the hook.
bool on_trap(const SigInfo* info, UContext* uc);

}  // namespace mino::hook
