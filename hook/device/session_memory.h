// SPDX-License-Identifier: Apache-2.0
//
// Mapping session memory (abi/layout.h), as a peer that may be hostile has described it.
#pragma once

#include "abi/message.h"
#include "hook/state/table.h"

namespace mino::hook {

// Maps session memory and checks its header against what the message said.
bool map_session(Session& session, const abi::Message& message, int memory_fd);

}  // namespace mino::hook
