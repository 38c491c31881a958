// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/settings.h.
#include "hook/state/settings.h"

namespace mino::hook {

Settings settings;

}  // namespace mino::hook
