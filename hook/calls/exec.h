// SPDX-License-Identifier: Apache-2.0
//
// execve and execveat. The next program must be hooked too: it gets an environment with the hook in
// it, the session's descriptors, and the seccomp filters that hold. A static program, which ld.so
// does not start, is loaded by the hook. A failed exec must leave no trace in the process.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_exec(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
