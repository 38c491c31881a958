// SPDX-License-Identifier: Apache-2.0
//
// What a process needs before it can be a proxy. Used for a session's first proxy and for forked
// ones.
#pragma once

namespace mino {

// Signals, and protection from other processes of the same user. Threads made later inherit the
// signal mask.
bool prepare_process();

}  // namespace mino
