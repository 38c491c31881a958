// SPDX-License-Identifier: Apache-2.0
//
// What `mino run` tells the hook, in two environment variables. libminoc.so takes both out of the
// program's environment at startup, and puts them back at each execve. They are written here, and
// only hook/ reads them.
//
//   LD_PRELOAD  <dir of mino>/libminoc.so[:what was there before]
//               (hook=preload: libminoc-preload.so)
//   MINO_RUN    abi/run_variable.h, which also says how the program's own LD_PRELOAD travels
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/policy.h"

namespace mino {

// The calls of a thread after which the hook scans the process's text. By then the trap has cost
// about as much as the scan does (hook/catch/disarm.h).
inline constexpr int64_t kRestAfter = 1 << 15;

struct HandOver {
  std::string socket, hook = "auto";
  bool windows = true;
  int64_t arena_bytes = 0;
  int trace_fd = -1;
  int64_t instance = 0;
  bool netns = false;     // network namespaces are made on the device
  bool load_all = false;  // libminoc.so loads dynamic programs as well
  int64_t rest_after = kRestAfter;
  Policy policy;

  // The value of MINO_RUN, at most abi::kMaxRunText long. `user_preload`: whether LD_PRELOAD was
  // set.
  std::string text(bool user_preload) const;
};

// The same value, for executing libminoc.so in the place of `program`, which it then loads.
std::string with_program(std::string text, const std::string& program);

// The value of LD_PRELOAD, given the old one (nullptr: none). The loader splits it at blanks and
// colons, so a library in a directory with such a name cannot be preloaded.
Result<std::string> preload_value(const std::string& library, const char* old);

}  // namespace mino
