// SPDX-License-Identifier: Apache-2.0
//
// What `mino run` decided for this program, from the variable MINO_RUN. Every room reads it.
// hook/start fills it in before the program runs; after that it does not change, except that a
// seccomp filter of the program switches off patching and following links, and gives executed
// programs a home.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

struct Settings {
  bool active;  // MINO_RUN was present, with our version
  bool windows;
  bool patch, sud;
  bool preload;  // neither of these: this is libminoc-preload.so (hook/preload/libc.h)
  int trace_fd;
  u32 arena_bytes;
  u32 instance;  // kernel instance of the device
  bool netns;    // the device can make network namespaces for us
  bool links;    // symbolic links on the host may lead to the device
  u64 home;      // hook/start/home.h; 0 until there is a seccomp filter
  u32 families;  // bit = address family
  u32 netlinks;  // bit = netlink protocol
  u32 path_count;
  char socket_path[108];
  char paths[1024];  // prefixes of offloaded paths, each ended by a NUL
  char heads[256];   // the first component of each, once; and "proc", for names of processes
  u32 head_count;
  bool all_virtual;          // all prefixes are in /proc or /sys
  char variable[1536];       // MINO_RUN as received, without what the hook adds across exec
  char library[512];         // path of this library, for LD_PRELOAD
  bool preload_was_set;      // the user had an LD_PRELOAD too
  bool credentials_changed;  // what Process::credentials_changed was before exec
  bool own_users;            // likewise
  u32 disarm_after;          // --rest-after; see hook/catch/disarm.h; 0: never
  bool load_all;             // load dynamic programs too
  char program[4096];  // the program that this library has loaded, if executed as a program; or ""
  char executable[4096];  // its path, for /proc/self/exe
};
extern Settings settings;

}  // namespace mino::hook
