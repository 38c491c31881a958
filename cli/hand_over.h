// SPDX-License-Identifier: Apache-2.0
//
// What `mino run` tells the hook: two environment variables. libminoc.so takes both out of the
// program's environment at start, and puts them back at each execve. Written here, read by hook/
// only.
//
//   LD_PRELOAD  <dir of mino>/libminoc.so[:what was there before]
//               (hook=preload: libminoc-preload.so)
//   MINO_RUN
//     v=1;sock=PATH;hook=auto|patch|sud|preload;windows=0|1;arena=BYTES;trace=FD;families=N,N;
//     netlinks=N,N;paths=P:P;orig=0|1;instance=N;netns=0|1;load=0|1;rest=CALLS
//
//     arena     0: the device's default
//     trace     -1: none; else the descriptor where trace records go
//     families  address families that are offloaded
//     netlinks  … and of AF_NETLINK, only these protocols
//     paths     prefixes served by the device
//     orig      1: LD_PRELOAD was set before; what follows our own entry in it is the user's
//     instance  the kernel instance that serves the program
//     netns     1: network namespaces are the device's to make
//     load      1: libminoc.so loads dynamic programs, too
//     rest      calls after which the trap may be switched off; 0: never
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/policy.h"

namespace mino {

// A thread's calls after which the hook looks through the process's text: by then the trap has cost
// about as much as the look does (hook/catch/disarm.h).
inline constexpr int64_t kRestAfter = 1 << 15;

struct HandOver {
  static constexpr size_t kMaxText = 1000;  // the hook adds to it at each execve

  std::string socket, hook = "auto";
  bool windows = true;
  int64_t arena_bytes = 0;
  int trace_fd = -1;
  int64_t instance = 0;
  bool netns = false;     // network namespaces are the device's to make
  bool load_all = false;  // libminoc.so loads dynamic programs as well
  int64_t rest_after = kRestAfter;
  Policy policy;

  // The value of MINO_RUN; `user_preload`: whether LD_PRELOAD was set.
  std::string text(bool user_preload) const;
};

// The value of LD_PRELOAD, given the old one (nullptr: none). The loader splits it at blanks and
// colons, so a library in a directory with such a name cannot be preloaded.
Result<std::string> preload_value(const std::string& library, const char* old);

}  // namespace mino
