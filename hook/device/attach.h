// SPDX-License-Identifier: Apache-2.0
//
// The session: connecting to the device, lanes, and what fork and exec do to them. The first
// offloaded call connects; a program that never needs the device never meets it.
#pragma once

#include "abi/message.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// A live session with a lane for this thread: 0, or -ENETDOWN (no device, dead, or no lane left).
long ready(ThreadState* ts);

// Gives the thread's lane back (the thread ends, or its process record is replaced).
void release_lane(ThreadState* ts);

// exec: the control connection and the placeholder survive it.
void keep_across_exec(Process* process, bool keep);
// In the new image: take the session over again. `socket` and `placeholder` come from MINO_RUN.
void reattach(ThreadState* ts, int socket, int placeholder);

}  // namespace mino::hook
