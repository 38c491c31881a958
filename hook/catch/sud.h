// SPDX-License-Identifier: Apache-2.0
//
// Syscall User Dispatch: the kernel turns every system call from outside this library's text into
// SIGSYS (Documentation/admin-guide/syscall-user-dispatch.rst). The handler does not execute the
// call; it redirects the thread to mino_entry, as if the site were patched, so that there is one
// path for all calls.
#pragma once

#include "hook/catch/context.h"

namespace mino::hook {

// Arms the calling thread; false if this kernel refuses. Off again after fork, clone and exec.
bool arm_dispatch();

bool disarm_dispatch();

// SIGSYS: true if it was a dispatched call (the context now enters the hook).
bool on_trap(const SigInfo* info, UContext* uc);

}  // namespace mino::hook
