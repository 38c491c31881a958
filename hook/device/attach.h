// SPDX-License-Identifier: Apache-2.0
//
// The session of a process: connecting to the device, claiming a lane for each thread, and
// surviving exec. The first offloaded call connects; a program that never needs the device never
// gets a session. Used by every handler that offloads a call.
#pragma once

#include "abi/message.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Makes sure that there is a live session, with a lane for this thread until the end of the call
// that it is in. 0; -ENETDOWN without a device or after its death; -ENOBUFS or -ENOMEM if there is
// no lane to be had.
long ready(ThreadState* ts);

// Gives the thread's lane back, because the thread ends or its Process is replaced.
void release_lane(ThreadState* ts);

// Lets the control connection and the placeholder survive exec, or not.
void keep_across_exec(Process* process, bool keep);
// Takes the session over in the new image. The descriptors, and whether the working directory is on
// the device, come from MINO_RUN.
void reattach(ThreadState* ts, int socket, int placeholder, int broken, bool directory);

}  // namespace mino::hook
