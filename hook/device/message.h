// SPDX-License-Identifier: Apache-2.0
//
// Sends and receives the messages of the control connection (abi/message.h) and the descriptors
// that travel with them. Everything received is bounded and checked; a malformed message ends the
// conversation, not the program.
#pragma once

#include "abi/message.h"
#include "hook/state/table.h"

namespace mino::hook {

bool send_message(const Session& session, const abi::Message& message, int fd = -1, u64 flags = 0);
// Receives one message with exactly `want` descriptors. False on anything else; its descriptors are
// closed then.
bool receive_message(int socket, abi::Message& message, int* fds, int want);
// Waits up to ten seconds for the answer to a question. Late answers to earlier questions are
// skipped.
bool await_message(const Session& session, abi::MessageType type, abi::Message& message, int* fds,
                   int want);
void set_receive_timeout(int fd, i64 seconds);

void tell_refusal(const abi::Message& message);  // on standard error

// Marks a control connection, so that any process can recognise it.
void mark_control(int fd);
bool is_control(u64 fd);

}  // namespace mino::hook
