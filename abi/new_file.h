// SPDX-License-Identifier: Apache-2.0
//
// Requests that make a descriptor although their rows are for all requests alike: the result of an
// ioctl or a getsockopt is then the new number, as for the rows with kMakesFd. The hook takes a
// number for it first, and an engine installs the file there.
#pragma once

#include "abi/syscalls.h"

namespace mino::abi {

// getsockopt(SOL_SCTP): sctp_peeloff_arg_t {association, descriptor}, and with flags behind it
// (linux/sctp.h). The kernel writes the descriptor there, too.
constexpr bool peels_off(const Row& row, const uint64_t args[6]) {
  constexpr uint32_t kSolSctp = 132, kPeelOff = 102, kPeelOffFlags = 122;
  constexpr uint16_t kGetsockopt = 55;
  const auto name = static_cast<uint32_t>(args[2]);
  return row.nr == kGetsockopt && static_cast<uint32_t>(args[1]) == kSolSctp &&
         (name == kPeelOff || name == kPeelOffFlags);
}
inline constexpr uint64_t kPeeledAt = 4;        // bytes before the descriptor
inline constexpr uint64_t kPeelingFlagsAt = 8;  // before the flags, SOCK_CLOEXEC among them

constexpr bool makes_file(const Row& row, const uint64_t args[6]) {
  if (row.route != Route::kIoctl) return peels_off(row, args);
  switch (static_cast<uint32_t>(args[1])) {
    case 0x894c:  // SIOCGSKNS: the network namespace of a socket (linux/sockios.h)
    case 0x54e3:  // TUNGETDEVNETNS: that of a tun device (linux/if_tun.h)
    case 0xb701:  // NS_GET_USERNS, NS_GET_PARENT: of a namespace (linux/nsfs.h)
    case 0xb702:
    case 0x5441:  // TIOCGPTPEER: the other end of a terminal (asm-generic/ioctls.h)
      return true;
    default:
      return false;
  }
}

}  // namespace mino::abi
