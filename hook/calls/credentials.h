// SPDX-License-Identifier: Apache-2.0
//
// Calls that change credentials or the umask: setuid, setgroups, capset, umask and the like, and
// prctl(PR_SET_KEEPCAPS). The host executes them first. The device then repeats them for the
// thread's lane.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_credentials(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
