// SPDX-License-Identifier: Apache-2.0
//
// Messages of the control connection (abi/message.h), and the descriptors that travel with them.
// Bounded and checked; a message of another form ends the conversation, not the program.
#pragma once

#include "abi/message.h"
#include "hook/state/table.h"

namespace mino::hook {

bool send_message(const Session& session, const abi::Message& message, int fd = -1, u64 flags = 0);
// One message with up to `want` descriptors; false on anything else (they are closed then).
bool receive_message(int socket, abi::Message& message, int* fds, int want);
// The answer to a question, for ten seconds; one that came too late for its own question is passed over.
bool await_message(const Session& session, abi::MessageType type, abi::Message& message, int* fds,
                   int want);
void set_receive_timeout(int fd, i64 seconds);

void tell_refusal(const abi::Message& message);  // what it says, on standard error

// Lets other processes know a control connection when they see it.
void mark_control(int fd);
bool is_control(u64 fd);

}  // namespace mino::hook
