// SPDX-License-Identifier: Apache-2.0
//
// fork and _Fork by libc's names: the device forks with the host. Used by start.cc.
#pragma once

namespace mino::hook {

// Registers the handlers that libc calls around a fork.
void prepare_forks();

}  // namespace mino::hook
