// SPDX-License-Identifier: Apache-2.0
#include "channel/session_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "channel/descriptor_passing.h"

namespace mino {

Arrival receive_message(int socket, Incoming& incoming) {
  Datagram datagram = receive_datagram(socket, &incoming.message, sizeof incoming.message);
  incoming.file_count = static_cast<int>(std::min(datagram.file_count, kMaxMessageFiles));
  for (size_t i = 0; i < kMaxMessageFiles; i++) incoming.files[i] = std::move(datagram.files[i]);
  incoming.sender = datagram.sender;
  incoming.uid = datagram.uid;
  if (datagram.bytes == -EAGAIN || datagram.bytes == -EINTR) return Arrival::kNothing;
  const bool whole = datagram.bytes == sizeof incoming.message && !datagram.cut &&
                     datagram.file_count <= kMaxMessageFiles &&
                     incoming.message.magic == abi::Message::kMessageMagic &&
                     incoming.message.version == abi::kVersion;
  if (!whole) return Arrival::kBroken;
  incoming.message.text[sizeof incoming.message.text - 1] = '\0';
  return Arrival::kMessage;
}

bool post_message(int socket, const abi::Message& message, std::initializer_list<int> files) {
  return send_datagram(socket, &message, sizeof message, std::span(files.begin(), files.size()),
                       MSG_DONTWAIT);
}

void post_refusal(int socket, abi::RefuseReason reason, std::string_view text) {
  abi::Message message;
  message.type = abi::MessageType::kRefuse;
  message.reason = reason;
  std::memcpy(message.text, text.data(), std::min(text.size(), sizeof message.text - 1));
  post_message(socket, message);
}

bool report_senders(int socket) {
  const int on = 1;
  return ::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

}  // namespace mino
