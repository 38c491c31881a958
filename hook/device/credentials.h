// SPDX-License-Identifier: Apache-2.0
//
// The credentials of the device's threads follow the program's. The caller has a lane (attach.h).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// A lane may have been made when the process, or another that shares the table, had other
// credentials: then it gets those of the calling thread.
bool lane_has_credentials(const ThreadState* ts);
void follow_credentials(ThreadState* ts);
void follow_capabilities(ThreadState* ts, u8 submission_flags = 0);

}  // namespace mino::hook
