// SPDX-License-Identifier: Apache-2.0
//
// The one Settings object of a process. See hook/state/settings.h.
#include "hook/state/settings.h"

namespace mino::hook {

Settings settings;

}  // namespace mino::hook
