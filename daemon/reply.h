// SPDX-License-Identifier: Apache-2.0
//
// Sending one control message. Used where minod itself answers a client: refusals and exchanged
// files.
#pragma once

#include <string_view>

#include "abi/message.h"

namespace mino {

// Never blocks and never raises SIGPIPE; a peer that does not read loses the answer. `fd` may be
// -1.
bool send_message(int socket, const abi::Message& message, int fd);

void refuse(int socket, abi::RefuseReason reason, std::string_view text);

}  // namespace mino
