// SPDX-License-Identifier: Apache-2.0
//
// What `mino run` decided for this program. Every room reads it; hook/start fills it in, from the
// variable MINO_RUN, before the program runs.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

// What `mino run` decided, from the variable MINO_RUN. Does not change in a process, except that a
// seccomp filter of the program's ends patching and following links, and gives executed programs a
// home.
struct Settings {
  bool active;  // MINO_RUN was there and of our version
  bool windows;
  bool patch, sud;
  bool preload;  // neither: this is libminoc-preload.so (hook/preload/libc.h)
  int trace_fd;
  u32 arena_bytes;
  u32 instance;  // kernel instance of the device
  bool netns;    // the device can make network namespaces for us
  bool links;    // the host's symbolic links may lead to the device
  u64 home;      // hook/start/home.h; 0 until there is a seccomp filter
  u32 families;  // bit = address family
  u32 netlinks;  // bit = netlink protocol
  u32 path_count;
  char socket_path[108];
  char paths[1024];  // NUL-separated prefixes …
  char heads[256];   // … the first part of each, once, and "proc", where names of processes are
  u32 head_count;
  bool all_virtual;          // … which all lie in /proc or /sys
  char variable[1536];       // MINO_RUN as received, without what the hook adds across exec
  char library[512];         // path of this library, for LD_PRELOAD
  bool preload_was_set;      // the user had an LD_PRELOAD too
  bool credentials_changed;  // this is the new image of a process of which that is true
  u32 disarm_after;          // hook/catch/disarm.h; 0: never
  bool load_all;             // also programs that ld.so would bring us into
  char program[4096];        // what this library has loaded, started as a program itself; or ""
  char executable[4096];     // … and what /proc/self/exe shall say
};
extern Settings settings;

}  // namespace mino::hook
