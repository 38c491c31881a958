// SPDX-License-Identifier: Apache-2.0
//
// Where this library lies in memory. It is anywhere, until a program puts itself under a seccomp
// filter: that lets the hook's calls pass by their address, and exec keeps the filter. So there is
// an address, chosen with the first filter and named in MINO_RUN, to which the library of each
// program that is executed under a filter brings a second copy of itself. All else is done by that
// one. What is called on the way there (openat, mmap, close) ld.so has called to load the first.
#pragma once

#include "hook/base/library.h"

namespace mino::hook {

u64 choose_home();  // for the programs that will be executed
void relocate();    // what ld.so would do; this library has relative relocations only

// Where the environment says that this library shall be, or 0 if it may stay. No system call.
u64 home_in(char** envp);

// Maps the library, which LD_PRELOAD names, at `home`; 0 or the error.
long map_at_home(char** envp, u64 home);

// The place in the copy at `home` that is `here` in this one.
inline u64 at_home(u64 home, const void* here) {
  return home + (ptr(here) - base());
}

// Says on standard error that a program's filter left no way, and which step failed.
void tell_no_way_home(long error);

}  // namespace mino::hook
