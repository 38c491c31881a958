// SPDX-License-Identifier: Apache-2.0
//
// Which fields of ioctl and socket-option structures are pointers, whether or not the table carries
// what they point to (abi/ioctl.h). Used by engine/native/marshal, which must make every one of
// them harmless before the kernel sees the structure: in the proxy's address space, a client's
// pointer means nothing good.
#pragma once

#include <cstdint>

namespace mino {

struct PointerFields {
  uint16_t offset[3];
  uint8_t count;
};

constexpr PointerFields ioctl_pointers(uint32_t request) {
  switch (request) {
    case 0x8912:
      return {{8}, 1};  // SIOCGIFCONF: ifc_buf
    case 0x890b:
    case 0x890c:
      return {{88}, 1};  // SIOC{ADD,DEL}RT: rt_dev
    case 0x8940:
    case 0x8941:
      return {{8, 16}, 2};  // SIOC{G,S}IFBR: unsigned long[3]
    case 0x8946:            // SIOCETHTOOL: ifr_data
    case 0x894a:            // SIOCWANDEV: ifs_ifsu
    case 0x8993:
    case 0x8994:  // SIOCBOND*INFOQUERY: ifr_data
    case 0x89b0:
    case 0x89b1:
      return {{16}, 1};  // SIOC{S,G}HWTSTAMP: ifr_data
    case 0x401054d5:
    case 0x401054d6:
      return {{8}, 1};  // TUN{AT,DE}TACHFILTER: sock_fprog.filter
    default:
      break;
  }
  if (request >= 0x89f0 && request <= 0x89ff)
    return {{16}, 1};  // SIOCDEVPRIVATE, tunnels: ifr_data
  if (request >= 0x8b00 && request <= 0x8bff) return {{16}, 1};  // wireless: iw_point.pointer
  return {};
}

constexpr PointerFields setsockopt_pointers(uint64_t level, uint64_t option) {
  constexpr uint64_t kIp = 0, kSocket = 1, kIpv6 = 41, kSctp = 132, kPacket = 263, kXdp = 283;
  if (level == kSocket && (option == 26 || option == 51))
    return {{8}, 1};                                      // SO_ATTACH_*FILTER, *_CBPF
  if (level == kPacket && option == 22) return {{8}, 1};  // PACKET_FANOUT_DATA, classic BPF
  if ((level == kIp || level == kIpv6) && option == 64)
    return {{88}, 1};                                  // IP*T_SO_SET_REPLACE: counters
  if (level == kIp && option == 96) return {{72}, 1};  // ARPT_SO_SET_REPLACE: counters
  if (level == kIp && option >= 128 && option <= 131)
    return {{104, 112}, 2};                              // ebtables: counters, entries
  if (level == kSctp && option == 111) return {{8}, 1};  // SCTP_SOCKOPT_CONNECTX3
  if (level == kXdp && option == 4) return {{0}, 1};     // XDP_UMEM_REG
  return {};
}

constexpr PointerFields getsockopt_pointers(uint64_t level, uint64_t option) {
  constexpr uint64_t kIp = 0, kTcp = 6, kSctp = 132;
  if (level == kTcp && option == 35)
    return {{0, 24, 40}, 3};  // TCP_ZEROCOPY_RECEIVE: address, copybuf, control
  if (level == kIp && option >= 128 && option <= 131) return {{104, 112}, 2};
  if (level == kSctp && option == 111) return {{8}, 1};
  return {};
}

// Whether this fcntl command takes a number, however large.
constexpr bool fcntl_takes_number(uint32_t command) {
  return command <= 4 || (command >= 8 && command <= 11) || (command >= 1024 && command <= 1034);
}

}  // namespace mino
