// SPDX-License-Identifier: Apache-2.0
//
// Can the hook work on this machine by patching, or by Syscall User Dispatch? Used by cli/run.
#pragma once

#include <string>

namespace mino {

struct UsableTier {
  std::string hook;     // auto, or the one to use instead
  std::string refused;  // then: what this machine refuses, and how; as the start of a sentence
};
UsableTier find_usable_tier();

}  // namespace mino
