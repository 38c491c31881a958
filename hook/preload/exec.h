// SPDX-License-Identifier: Apache-2.0
//
// execv, execvp and the others of their family by libc's names; spawn.cc executes by the same
// function.
#pragma once

namespace mino::hook {

using StringList = char* const*;

// Searches for the program as execvp(3) does and executes it. Returns only on an error. `by_shell`:
// a file that is neither ELF nor #! is given to a shell, which execvp does and posix_spawnp does
// not.
long execute_named(const char* file, StringList argv, StringList envp, bool by_shell);

}  // namespace mino::hook
