// SPDX-License-Identifier: Apache-2.0
//
// Who is at the other end of a unix socket, as the kernel says. Used by daemon/admission and
// daemon/control. It must never take anything from what the peer itself wrote.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace mino {

struct Peer {
  pid_t pid = 0;  // 0: not visible from here (another pid namespace)
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  uint64_t capabilities = 0;  // effective ones that it may use here
};

// From SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD and /proc.
Result<Peer> peer_of(int socket);

// Listens at `path` with mode `mode`, and replaces whatever was there. `type` is SOCK_STREAM or
// SOCK_SEQPACKET.
Result<Fd> listen_at(const std::string& path, int type, mode_t mode);

}  // namespace mino
