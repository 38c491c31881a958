// SPDX-License-Identifier: Apache-2.0
//
// Tells whether the hook can work on this machine by patching, and by Syscall User Dispatch. Used
// by cli/run. It must try what the hook itself will do, and nothing more.
#pragma once

#include <string>

namespace mino {

struct UsableTier {
  std::string hook;     // auto, or the tier to use instead
  std::string refused;  // if not auto: the refusal of this machine, to start a sentence with
};
UsableTier find_usable_tier();

}  // namespace mino
