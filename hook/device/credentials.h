// SPDX-License-Identifier: Apache-2.0
//
// Gives the device's threads the credentials of the program: when a thread gets a lane that was
// made with other credentials, and after exec. The caller must have a lane (hook/device/attach.h).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// False if the lane may have been made when the process, or another that shares the table, had
// other credentials. follow_credentials() then gives it those of the calling thread.
bool lane_has_credentials(const ThreadState* ts);
void follow_credentials(ThreadState* ts);
void follow_capabilities(ThreadState* ts, u8 submission_flags = 0);

}  // namespace mino::hook
