// SPDX-License-Identifier: Apache-2.0
//
// Where this library is in memory. It can be anywhere, until a program installs a seccomp filter:
// the filter's front lets the hook's calls pass by their address, and exec keeps the filter. So
// with the first filter an address is chosen, the home, and passed on in MINO_RUN. In each program
// that is executed under a filter, the library that ld.so has loaded maps a second copy of itself
// there, and that copy does everything else. To do so, the first copy must make no calls but those
// that ld.so has made to load it (openat, mmap, close).
#pragma once

#include "hook/base/library.h"

namespace mino::hook {

u64 choose_home();  // for programs executed from now on
void relocate();    // does what ld.so would do; this library has relative relocations only

// The home that the environment names, or 0 if the library can stay where it is. Makes no system
// call.
u64 home_in(char** envp);

// Maps the library, which LD_PRELOAD names, at `home`. 0 or the error.
long map_at_home(char** envp, u64 home);

// The address in the copy at `home` of what is at `here` in this copy.
inline u64 at_home(u64 home, const void* here) {
  return home + (ptr(here) - base());
}

// Reports on standard error that the filter leaves no way to map the copy, and with which error.
void tell_no_way_home(long error);

}  // namespace mino::hook
