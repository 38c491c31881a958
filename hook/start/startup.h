// SPDX-License-Identifier: Apache-2.0
//
// How the hook takes hold of a program, once: as a library that ld.so has loaded (hook/start/startup.cc), or
// as the program that loads it (hook/start/load.cc).
#pragma once

namespace mino::hook {

// Reads what `mino run` decided, takes its variables out of the environment, and makes the state of
// this process and thread. False if there is nothing to hold, or no way to; `reachable`: no seccomp
// filter is in the way (hook/start/home.h).
bool prepare_startup(char** envp, bool reachable);

// Patches what is mapped, and arms the trap: from here on the hook sees the system calls.
void finish_startup();

}  // namespace mino::hook
