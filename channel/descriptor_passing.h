// SPDX-License-Identifier: Apache-2.0
//
// Datagrams on unix sockets with the descriptors that travel in them (SCM_RIGHTS, unix(7)). The
// only place on the device that packs and unpacks them: for clients (session_socket.cc), for those
// that minod has not admitted yet (daemon/admission.cc), for a kernel instance
// (engine/linux/session.cc), and for tests. Never loses a descriptor: each one that the kernel has
// installed has an owner, whatever came with it.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/fd.h"

namespace mino {

struct Datagram {
  // Two at most are expected. There is room for more, so that too many are noticed and properly
  // closed. If there are even more, the kernel closes the rest and reports that the datagram was
  // cut.
  static constexpr size_t kControlBytes = CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(ucred));
  static constexpr size_t kMaxFiles = (kControlBytes - CMSG_LEN(0)) / sizeof(int);

  ssize_t bytes = 0;    // -errno; 0 also when the peer has hung up
  bool cut = false;     // it, or what came with it, was longer than the room for it
  Fd files[kMaxFiles];  // close-on-exec
  size_t file_count = 0;
  int sender = 0;      // pid from SCM_CREDENTIALS (SO_PASSCRED), or 0
  uint32_t uid = ~0u;  // likewise, or ~0
};

// Never waits.
Datagram receive_datagram(int socket, void* to, size_t room);

// At most kMaxSentFiles. `flags` are those of sendmsg, such as MSG_DONTWAIT; SIGPIPE is never
// raised. False when the datagram was not taken.
inline constexpr size_t kMaxSentFiles = 16;
bool send_datagram(int socket, const void* from, size_t bytes, std::span<const int> files,
                   int flags);

}  // namespace mino
