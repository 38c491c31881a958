// SPDX-License-Identifier: Apache-2.0
#include "daemon/reply.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace mino {

bool send_message(int socket, const abi::Message& message, int fd) {
  iovec part{const_cast<abi::Message*>(&message), sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  return ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof message;
}

void refuse(int socket, abi::RefuseReason reason, std::string_view text) {
  abi::Message message;
  message.type = abi::MessageType::kRefuse;
  message.reason = reason;
  std::memcpy(message.text, text.data(), std::min(text.size(), sizeof message.text - 1));
  send_message(socket, message, -1);
}

}  // namespace mino
