// SPDX-License-Identifier: Apache-2.0
//
// Threads that libc makes and ends without a system call that is seen: each gets its ThreadState
// before it starts, and gives its lane back after the program's own destructors. Also
// pthread_cancel, whose signal must go through the hook as the program's signals do. Used by
// start.cc.
#pragma once

namespace mino::hook {

// Makes the key whose destructor ends a thread's state.
void prepare_threads();

}  // namespace mino::hook
