// SPDX-License-Identifier: Apache-2.0
//
// Descriptors of the hook's own: the session's socket, the placeholder, and the eventfds that end a
// wait (bells and the kick). They have high numbers, out of the program's way, and are flagged
// kPrivate in the hook's flags for the program's descriptors (hook/state/table.h), so that the
// program cannot see or close them.
#pragma once

#include "hook/state/process.h"

namespace mino::hook {

// Moves a descriptor of the hook's own to a high number, flags it, and closes the old number.
// Returns the new number, which is close-on-exec; or the old one if there is no room above.
int make_private(Process* process, int fd);
void close_private(Process* process, int& fd);

void learn_open_limit(Process* process);  // RLIMIT_NOFILE, which poll's count is checked against

}  // namespace mino::hook
