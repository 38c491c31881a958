// SPDX-License-Identifier: Apache-2.0
//
// What a process needs before it can be a proxy. Used for the first proxy of a session and for
// forked ones, while the process has one thread.
#pragma once

namespace mino {

// Sets up signals, and protection from other processes of the same user. Threads made later inherit
// the signal mask.
bool prepare_process();

}  // namespace mino
