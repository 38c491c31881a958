// SPDX-License-Identifier: Apache-2.0
//
// Descriptors of the hook's own: out of the program's way, marked in its table, and unseen by it.
#pragma once

#include "hook/state/process.h"

namespace mino::hook {

// Moves a descriptor of the hook's own out of the application's way, marks it, and closes the old
// number. The new number, close-on-exec; or the old one when there is nowhere to go.
int make_private(Process* process, int fd);
void close_private(Process* process, int& fd);

void learn_open_limit(Process* process);  // RLIMIT_NOFILE, which poll's count is checked against

}  // namespace mino::hook
