// SPDX-License-Identifier: Apache-2.0
//
// What the kernel shows of the environment, in /proc/PID/environ: the strings of execve, as they
// are in memory. The hook's variables are the last of them, and the end is moved before these.
#pragma once

#include "hook/start/environment.h"

namespace mino::hook {

// `envp` has lost the hook's variables already. The calls that this makes may be forbidden by a
// seccomp filter: the caller must know that there is none.
void hide_variables(char** envp, const Inherited& inherited);

}  // namespace mino::hook
