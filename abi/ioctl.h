// SPDX-License-Identifier: Apache-2.0
//
// The memory behind the pointer arguments of ioctl, fcntl and setsockopt. Modern ioctl requests
// encode direction and size (_IOC). Requests that are older than that, and structures that hold
// pointers themselves, are listed here. Used by abi/walk.h only. Numbers go in and shapes come out:
// nothing here reads memory.
#pragma once

#include <cstdint>

namespace mino::abi {

// A pointer inside a structure: at `offset`, to bytes counted by a field of the structure or fixed.
enum class Nested : uint8_t {
  kNone,
  kIfconf,       // struct ifconf { int len; char* buf }: the kernel writes up to len bytes
  kEthtool,      // struct ifreq whose ifr_data points to an ethtool command
  kFilter,       // struct sock_fprog { u16 len; sock_filter* filter }: len * 8 bytes, read
  kXtReplace,    // ipt_replace: counters, at offset 88, are written
  kIfrData,      // struct ifreq whose ifr_data points to a small structure, read and written
  kRouteDevice,  // struct rtentry: rt_dev, at offset 88, is a device's name
};

struct PointerShape {
  bool pointer = false;
  bool reads = false;
  bool writes = false;
  uint32_t bytes = 0;
  Nested nested = Nested::kNone;
};

constexpr PointerShape ioctl_shape(uint32_t request) {
  constexpr uint32_t kIfreq = 40;
  constexpr uint32_t kRtentry = 120;
  switch (request) {
    // asm-generic/ioctls.h and linux/sockios.h: before _IOC.
    case 0x5411:
    case 0x541b:  // TIOCOUTQ = SIOCOUTQ, FIONREAD = SIOCINQ
    case 0x8905:
    case 0x894b:  // SIOCATMARK, SIOCOUTQNSD
    case 0x8903:
    case 0x8904:  // FIOGETOWN, SIOCGPGRP
      return {true, false, true, 4};
    case 0x5421:
    case 0x5452:  // FIONBIO, FIOASYNC
    case 0x8901:
    case 0x8902:  // FIOSETOWN, SIOCSPGRP
      return {true, true, false, 4};
    case 0x5450:
    case 0x5451:  // FIONCLEX, FIOCLEX
      return {};
    case 0x5460:  // FIOQSIZE
      return {true, false, true, 8};
    case 0x5413:  // TIOCGWINSZ
      return {true, false, true, 8};
    case 0x5401:  // TCGETS
      return {true, false, true, 36};
    case 0x8906:
    case 0x8907:  // SIOCGSTAMP, SIOCGSTAMPNS (old)
      return {true, false, true, 16};
    case 0x8912:  // SIOCGIFCONF
      return {true, true, true, 16, Nested::kIfconf};
    case 0x890b:
    case 0x890c:  // SIOCADDRT, SIOCDELRT
      return {true, true, false, kRtentry, Nested::kRouteDevice};
    case 0x890d:  // SIOCRTMSG
      return {true, true, false, kRtentry};
    case 0x8946:  // SIOCETHTOOL
      return {true, true, true, kIfreq, Nested::kEthtool};
    case 0x8953:
    case 0x8954:
    case 0x8955:  // SIOC{D,G,S}ARP
      return {true, true, true, 68};
    case 0x89b0:
    case 0x89b1:  // SIOCSHWTSTAMP, SIOCGHWTSTAMP
    case 0x89f0:
    case 0x89f1:
    case 0x89f2:
    case 0x89f3:  // SIOC{GET,ADD,DEL,CHG}TUNNEL
      return {true, true, true, kIfreq, Nested::kIfrData};
    // linux/if_tun.h: numbers that say `int`, and mean something else.
    case 0x400454ca:
    case 0x400454d9:  // TUNSETIFF, TUNSETQUEUE
      return {true, true, true, kIfreq};
    case 0x800454d2:  // TUNGETIFF
      return {true, false, true, kIfreq};
    case 0x400454d1:  // TUNSETTXFILTER: a head of 4 bytes, then addresses; more are not taken
      return {true, true, false, 4 + 6 * 256};
    case 0x401054d5:
    case 0x401054d6:  // TUNATTACHFILTER, TUNDETACHFILTER
      return {true, true, false, 16, Nested::kFilter};
    case 0x400454c8:
    case 0x400454c9:
    case 0x400454cb:
    case 0x400454cc:
    case 0x400454cd:
    case 0x400454ce:
    case 0x400454d0:  // TUNSETNOCSUM, DEBUG, PERSIST, OWNER, LINK, GROUP, OFFLOAD: plain values
      return {};
    default:
      break;
  }
  if (request >= 0x8b00 && request <= 0x8bff) return {true, true, true, 32};  // struct iwreq
  if (request >= 0x8910 && request <= 0x89ff) return {true, true, true, kIfreq};
  if (request >> 16 == 0) return {};  // no size, no direction: a plain value
  // include/uapi/asm-generic/ioctl.h: direction 2 bits, size 14, type 8, number 8.
  const uint32_t direction = request >> 30;
  const uint32_t bytes = (request >> 16) & 0x3fff;
  if (direction == 0 || bytes == 0) return {};
  return {true, (direction & 1) != 0, (direction & 2) != 0, bytes};
}

constexpr PointerShape fcntl_shape(uint32_t command) {
  switch (command) {
    case 5:   // F_GETLK
    case 36:  // F_OFD_GETLK
      return {true, true, true, 32};
    case 6:
    case 7:  // F_SETLK, F_SETLKW
    case 37:
    case 38:  // F_OFD_SETLK, F_OFD_SETLKW
      return {true, true, false, 32};
    case 15:  // F_SETOWN_EX
      return {true, true, false, 8};
    case 16:  // F_GETOWN_EX
      return {true, false, true, 8};
    case 17:  // F_GETOWNER_UIDS
      return {true, false, true, 8};
    case 1035:
    case 1037:  // F_GET_RW_HINT, F_GET_FILE_RW_HINT
      return {true, false, true, 8};
    case 1036:
    case 1038:  // F_SET_RW_HINT, F_SET_FILE_RW_HINT
      return {true, true, false, 8};
    default:
      return {};
  }
}

// The kernel takes level and option as ints, whatever the upper halves of the registers hold.
constexpr Nested setsockopt_nested(uint32_t level, uint32_t option) {
  constexpr uint32_t kSolSocket = 1;
  if (level == 263 && option == 22) return Nested::kFilter;  // PACKET_FANOUT_DATA
  if (level == kSolSocket && (option == 26 || option == 51))
    return Nested::kFilter;                                    // SO_ATTACH_*_CBPF
  if (level == 0 && option == 64) return Nested::kXtReplace;   // IPT_SO_SET_REPLACE
  if (level == 41 && option == 64) return Nested::kXtReplace;  // IP6T_SO_SET_REPLACE
  return Nested::kNone;
}

// Bytes per unit of getsockopt's length: SO_GET_FILTER counts instructions.
constexpr uint64_t getsockopt_unit(uint64_t level, uint64_t option) {
  return level == 1 && option == 26 ? 8 : 1;
}

}  // namespace mino::abi
