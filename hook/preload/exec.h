// SPDX-License-Identifier: Apache-2.0
//
// execv, execvp and the others of their family by libc's names; spawn.cc executes by the same
// function.
#pragma once

namespace mino::hook {

using StringList = char* const*;

// As execvp(3) searches; returns only an error. `by_shell`: a file that is neither ELF nor #! is a
// shell's, which is so for exec but not for posix_spawnp.
long execute_named(const char* file, StringList argv, StringList envp, bool by_shell);

}  // namespace mino::hook
