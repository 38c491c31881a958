// SPDX-License-Identifier: Apache-2.0
#include "channel/session_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace mino {

namespace {

constexpr size_t kMaxFiles = 2;
// Room for more than we want, so that a sender cannot make the kernel drop what we must close
// ourselves.
constexpr size_t kControlBytes = CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(ucred));

void take_files(const cmsghdr* c, Incoming& incoming, bool& excess) {
  const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; i++) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
    if (incoming.file_count < static_cast<int>(kMaxFiles)) {
      incoming.files[incoming.file_count++] = Fd(fd);
    } else {
      ::close(fd);
      excess = true;
    }
  }
}

}  // namespace

Arrival receive_message(int socket, Incoming& incoming) {
  iovec part{&incoming.message, sizeof incoming.message};
  alignas(cmsghdr) char control[kControlBytes];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  for (Fd& file : incoming.files) file.reset();
  incoming.file_count = 0;
  incoming.sender = 0;
  incoming.uid = ~0u;
  const ssize_t n = ::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Arrival::kNothing;
  if (n <= 0) return Arrival::kBroken;
  bool excess = false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) take_files(c, incoming, excess);
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials;
      std::memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
      incoming.sender = credentials.pid;
      incoming.uid = credentials.uid;
    }
  }
  const bool whole = n == sizeof incoming.message && !excess &&
                     (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
                     incoming.message.magic == abi::Message::kMessageMagic &&
                     incoming.message.version == abi::kVersion;
  if (!whole) return Arrival::kBroken;
  incoming.message.text[sizeof incoming.message.text - 1] = '\0';
  return Arrival::kMessage;
}

bool post_message(int socket, const abi::Message& message, std::initializer_list<int> files) {
  CHECK(files.size() <= kMaxFiles);
  iovec part{const_cast<abi::Message*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFiles * sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (files.size() != 0) {
    const size_t bytes = files.size() * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), files.begin(), bytes);
  }
  return ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof message;
}

bool report_senders(int socket) {
  const int on = 1;
  return ::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

}  // namespace mino
