// SPDX-License-Identifier: Apache-2.0
//
// The structures of sendmsg and recvmsg, which the kernel keeps to itself (include/linux/socket.h:
// user_msghdr, cmsghdr). For the hook's own messages, and to read those of the program.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

struct MsgHdr {
  u64 name;
  u32 namelen, pad;
  u64 iov, iovlen, control, controllen;
  u32 flags, pad2;
};
static_assert(sizeof(MsgHdr) == 56);

struct CmsgHdr {
  u64 len;
  int level, type;
};
static_assert(sizeof(CmsgHdr) == 16);

}  // namespace mino::hook
