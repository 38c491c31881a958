// SPDX-License-Identifier: Apache-2.0
//
// Startup: the hook takes over a program, once, before its main. It runs either in the library that
// ld.so has loaded (hook/start/startup.cc), or in libminoc.so as a program, which then loads the
// real one (hook/start/load.cc).
#pragma once

namespace mino::hook {

// Reads what `mino run` decided, removes its variables from the environment, and makes the state of
// this process and thread. False if the program is not under mino, or cannot be. `reachable`: no
// seccomp filter is in the way (hook/start/home.h).
bool prepare_startup(char** envp, bool reachable);

// Patches what is mapped and arms the trap. From here on the hook sees system calls.
void finish_startup();

}  // namespace mino::hook
