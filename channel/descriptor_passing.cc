// SPDX-License-Identifier: Apache-2.0
#include "channel/descriptor_passing.h"

#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace mino {

namespace {

void take_files(const cmsghdr* c, Datagram& datagram) {
  const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; i++) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
    datagram.files[datagram.file_count++] = Fd(fd);
  }
}

void take_sender(const cmsghdr* c, Datagram& datagram) {
  ucred credentials;
  std::memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
  datagram.sender = credentials.pid;
  datagram.uid = credentials.uid;
}

}  // namespace

Datagram receive_datagram(int socket, void* to, size_t room) {
  Datagram datagram;
  iovec part{to, room};
  alignas(cmsghdr) char control[Datagram::kControlBytes];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  datagram.bytes = ::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (datagram.bytes < 0) {
    datagram.bytes = -errno;
    return datagram;
  }
  datagram.cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) take_files(c, datagram);
    if (c->cmsg_type == SCM_CREDENTIALS) take_sender(c, datagram);
  }
  return datagram;
}

bool send_datagram(int socket, const void* from, size_t bytes, std::span<const int> files,
                   int flags) {
  CHECK(files.size() <= kMaxSentFiles);
  iovec part{const_cast<void*>(from), bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxSentFiles * sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!files.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(rights), files.data(), files.size_bytes());
  }
  return ::sendmsg(socket, &header, flags | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

}  // namespace mino
