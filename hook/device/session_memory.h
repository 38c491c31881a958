// SPDX-License-Identifier: Apache-2.0
//
// Maps the header of session memory (abi/layout.h), for attach.cc and fork.cc. The device describes
// it, in the message Welcome or Child (abi/message.h). It may be hostile, so nothing in its
// description may be used before it is checked.
#pragma once

#include "abi/message.h"
#include "hook/state/process.h"

namespace mino::hook {

// Takes the file over, for the lanes. False if the message or the file is not what it must be; then
// it is closed.
bool take_memory(Process* process, Session& session, const abi::Message& message, int memory_fd);
// Maps the header, in place of another session's if that is given. False if that is not possible,
// or if it is not a header.
bool map_session(Session& session, u8* in_place = nullptr);
// For a session that nobody uses in this memory.
void unmap_session(const Session& session);

}  // namespace mino::hook
