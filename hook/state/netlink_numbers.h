// SPDX-License-Identifier: Apache-2.0
//
// Numbers of files and of processes inside netlink messages: which protocols, messages and
// attributes carry them. A number of the host means another thing on the device, or nothing; what
// is done about that is in hook/calls/netlink.cc. This only finds them. What it does not understand
// it leaves alone, as the kernel will: a message that is cut short, or whose lengths are wrong.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

enum class NumberOf : u8 { kFile, kProcess };

struct NetlinkNumber {
  u32 at;  // where the number is: 32 bits, in the byte order of the machine
  NumberOf of;
  u16 type;            // of its message; in NETLINK_GENERIC that is a number of the family
  u8 protocol;         // NETLINK_ROUTE or NETLINK_GENERIC: the same bytes may be a message of both
  const char* family;  // in NETLINK_GENERIC the name of the family, else nullptr
};

// Finds up to `room` numbers in what is sent with one call, which may be several messages. Returns
// how many.
u32 find_netlink_numbers(const u8* bytes, u32 count, NetlinkNumber* found, u32 room);

}  // namespace mino::hook
