// SPDX-License-Identifier: Apache-2.0
//
// Control messages on a session's socket: one datagram, at most a few descriptors, and the sender's
// pid where the kernel reports it. Used by channel/session_control, by minod's answers and by
// tests. Never blocks: a peer that does not read, or sends something else, loses its session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "abi/message.h"
#include "base/fd.h"

namespace mino {

inline constexpr size_t kMaxMessageFiles = 2;

struct Incoming {
  abi::Message message;
  Fd files[kMaxMessageFiles];
  int file_count = 0;
  int sender = 0;      // pid from SCM_CREDENTIALS (SO_PASSCRED), or 0
  uint32_t uid = ~0u;  // likewise, or ~0
};

enum class Arrival {
  kMessage,
  kNothing,  // nothing there now
  kBroken,   // hung up, or not a message of this version
};

Arrival receive_message(int socket, Incoming& incoming);

// False when the message could not be queued at once.
bool post_message(int socket, const abi::Message& message, std::initializer_list<int> files = {});

// Says why there is no session, or no answer. A peer that does not read misses it.
void post_refusal(int socket, abi::RefuseReason reason, std::string_view text);

// From here on the kernel reports the sender of every message.
bool report_senders(int socket);

}  // namespace mino
