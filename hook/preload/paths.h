// SPDX-License-Identifier: Apache-2.0
//
// Which paths the preload tier must open itself. Used where libc would open a file unseen.
#pragma once

namespace mino::hook {

// Whether a path begins like an offloaded prefix, or like a name of a descriptor or a process: it
// is worth opening by the hook rather than by libc.
bool may_be_on_device(const char* path);

}  // namespace mino::hook
