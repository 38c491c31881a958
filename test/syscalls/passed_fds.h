// SPDX-License-Identifier: Apache-2.0
//
// Sending and receiving descriptors by SCM_RIGHTS. Used by passing.cc and epoll_sharing.cc.
#pragma once

#include <string.h>
#include <sys/socket.h>

#include <initializer_list>
#include <vector>

struct Letter {
  char byte = 'm';
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
  msghdr header = {};

  Letter() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
  }
};

inline bool send_fds(int channel, std::initializer_list<int> fds) {
  Letter letter;
  letter.header.msg_control = letter.control;
  letter.header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* cmsg = CMSG_FIRSTHDR(&letter.header);
  cmsg->cmsg_level = SOL_SOCKET;
  cmsg->cmsg_type = SCM_RIGHTS;
  cmsg->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  memcpy(CMSG_DATA(cmsg), fds.begin(), fds.size() * sizeof(int));
  return sendmsg(channel, &letter.header, 0) == 1;
}

inline std::vector<int> receive_fds(int channel, int flags = 0, size_t room = 16,
                                    int* got_flags = nullptr) {
  Letter letter;
  letter.header.msg_control = letter.control;
  letter.header.msg_controllen = CMSG_LEN(room * sizeof(int));
  std::vector<int> fds;
  if (recvmsg(channel, &letter.header, flags) != 1) return fds;
  if (got_flags) *got_flags = letter.header.msg_flags;
  for (cmsghdr* c = CMSG_FIRSTHDR(&letter.header); c; c = CMSG_NXTHDR(&letter.header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    fds.resize((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds.data(), CMSG_DATA(c), fds.size() * sizeof(int));
  }
  return fds;
}
