// SPDX-License-Identifier: Apache-2.0
//
// Paths as the device tells them, by readlink and getcwd, in the program's own terms. In /proc the
// device's names hold the numbers of its tasks; the number of the one that stands for this process
// becomes the process's own.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Changes such a path in place, in a buffer of at least abi::kMaxPath + 1 bytes. Returns the new
// length. The caller must have a lane.
u64 name_on_host(ThreadState* ts, char* path, u64 bytes);

// The working directory is on the device: notes its name, and goes to the host's directory of that
// name if there is one.
void learn_offloaded_directory(ThreadState* ts);

}  // namespace mino::hook
