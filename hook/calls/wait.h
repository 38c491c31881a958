// SPDX-License-Identifier: Apache-2.0
//
// wait4 and waitid. They run on the host. When they report a child's end, they return only after
// its session has ended too: a program may rely on the child's ports and files being free.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_wait(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
