// SPDX-License-Identifier: Apache-2.0
//
// Maps session memory (abi/layout.h), for attach.cc and fork.cc. The device describes it, in the
// message Welcome or Child (abi/message.h). It may be hostile, so nothing in its description may be
// used before it is checked.
#pragma once

#include "abi/message.h"
#include "hook/state/table.h"

namespace mino::hook {

// Maps session memory. False if the message, the file or the header in it is not what it must be.
bool map_session(Session& session, const abi::Message& message, int memory_fd);

}  // namespace mino::hook
