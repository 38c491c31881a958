// SPDX-License-Identifier: Apache-2.0
//
// fork, vfork, clone and clone3.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_fork(ThreadState* ts, const abi::Row& row);

// First of all in a child with memory of its own. `company`: the parent had other threads, which
// may have been closing files. Used by hook/preload, too, which cannot see libc's own fork.
void begin_child(ThreadState* ts, void* table, bool company, bool same_table = false);

}  // namespace mino::hook
