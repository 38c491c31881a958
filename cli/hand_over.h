// SPDX-License-Identifier: Apache-2.0
//
// What `mino run` tells the hook: two environment variables. libminoc.so takes both out of the
// program's environment at start, and puts them back at each execve. Written here, read by hook/
// only.
//
//   LD_PRELOAD  <dir of mino>/libminoc.so[:what was there before]
//               (hook=preload: libminoc-preload.so)
//   MINO_RUN    abi/run_variable.h
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
  std::string socket, hook = "auto";
  bool windows = true;
  int64_t arena_bytes = 0;
  int trace_fd = -1;
  int64_t instance = 0;
  bool netns = false;     // network namespaces are the device's to make
  bool load_all = false;  // libminoc.so loads dynamic programs as well
  int64_t rest_after = kRestAfter;
  Policy policy;

  // The value of MINO_RUN, which may be abi::kMaxRunText long; `user_preload`: whether LD_PRELOAD
  // was set.
  std::string text(bool user_preload) const;
};

// That value for libminoc.so when it is executed in the place of `program`, which it loads.
std::string with_program(std::string text, const std::string& program);

// The value of LD_PRELOAD, given the old one (nullptr: none). The loader splits it at blanks and
// colons, so a library in a directory with such a name cannot be preloaded.
Result<std::string> preload_value(const std::string& library, const char* old);

}  // namespace mino
