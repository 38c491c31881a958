// SPDX-License-Identifier: Apache-2.0
//
// What the preload tier prepares at start, once libc is there.
#pragma once

namespace mino::hook {

void prepare_threads();
void prepare_forks();
void prepare_streams();

}  // namespace mino::hook
