// SPDX-License-Identifier: Apache-2.0
//
// fork, vfork, clone and clone3. A new process gets its session before it exists: the device forks
// the proxy, whose descriptors the device's kernel copies, and then the host forks. A thread gets
// its ThreadState here.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_fork(ThreadState* ts, const abi::Row& row);

// The first thing that a child with its own memory does. `company`: the parent had other threads,
// which may have been closing files. hook/preload/ calls it too, because libc's own fork is not
// seen.
void begin_child(ThreadState* ts, void* table, bool company, bool same_table = false);

}  // namespace mino::hook
