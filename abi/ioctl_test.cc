// SPDX-License-Identifier: Apache-2.0
//
// The shapes of ioctl, fcntl and setsockopt, against the structures of the system's headers.
#include "abi/ioctl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_tunnel.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/sockios.h>
#include <linux/wireless.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

namespace mino::abi {
namespace {

void expect(const PointerShape& shape, bool reads, bool writes, size_t bytes) {
  EXPECT_TRUE(shape.pointer);
  EXPECT_EQ(shape.reads, reads);
  EXPECT_EQ(shape.writes, writes);
  EXPECT_EQ(shape.bytes, bytes);
}

TEST(IoctlTest, OldRequests) {
  expect(ioctl_shape(FIONREAD), false, true, 4);
  expect(ioctl_shape(TIOCOUTQ), false, true, 4);
  expect(ioctl_shape(SIOCATMARK), false, true, 4);
  expect(ioctl_shape(SIOCGPGRP), false, true, 4);
  expect(ioctl_shape(FIONBIO), true, false, 4);
  expect(ioctl_shape(FIOASYNC), true, false, 4);
  expect(ioctl_shape(SIOCSPGRP), true, false, 4);
  expect(ioctl_shape(TIOCGWINSZ), false, true, sizeof(winsize));
  expect(ioctl_shape(FIOQSIZE), false, true, sizeof(loff_t));
  expect(ioctl_shape(0x8906), false, true, sizeof(timeval));
  EXPECT_FALSE(ioctl_shape(FIOCLEX).pointer);
  EXPECT_FALSE(ioctl_shape(FIONCLEX).pointer);
}

TEST(IoctlTest, Interfaces) {
  static_assert(sizeof(ifreq) == 40 && offsetof(ifreq, ifr_data) == 16);
  for (const auto request : {SIOCGIFNAME, SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCGIFADDR, SIOCGIFINDEX,
                             SIOCGIFHWADDR, SIOCSIFMTU, SIOCGIFMAP, SIOCETHTOOL, SIOCDEVPRIVATE,
                             SIOCSHWTSTAMP, SIOCGHWTSTAMP, SIOCADDTUNNEL}) {
    expect(ioctl_shape(static_cast<uint32_t>(request)), true, true, sizeof(ifreq));
  }
  static_assert(sizeof(ifconf) == 16 && offsetof(ifconf, ifc_buf) == 8);
  expect(ioctl_shape(SIOCGIFCONF), true, true, sizeof(ifconf));
  EXPECT_EQ(ioctl_shape(SIOCGIFCONF).nested, Nested::kIfconf);
  EXPECT_EQ(ioctl_shape(SIOCETHTOOL).nested, Nested::kEthtool);
  EXPECT_EQ(ioctl_shape(SIOCGHWTSTAMP).nested, Nested::kIfrData);
  EXPECT_EQ(ioctl_shape(SIOCGETTUNNEL).nested, Nested::kIfrData);
  static_assert(sizeof(rtentry) == 120 && offsetof(rtentry, rt_dev) == 88);
  expect(ioctl_shape(SIOCADDRT), true, false, sizeof(rtentry));
  EXPECT_EQ(ioctl_shape(SIOCDELRT).nested, Nested::kRouteDevice);
  expect(ioctl_shape(SIOCGARP), true, true, sizeof(arpreq));
  expect(ioctl_shape(SIOCGIWNAME), true, true, sizeof(iwreq));
}

TEST(IoctlTest, EncodedRequests) {
  expect(ioctl_shape(_IOR('x', 1, uint64_t)), false, true, 8);
  expect(ioctl_shape(_IOW('x', 1, char[100])), true, false, 100);
  expect(ioctl_shape(_IOWR('x', 1, uint32_t)), true, true, 4);
  EXPECT_FALSE(ioctl_shape(_IO('x', 1)).pointer);
  expect(ioctl_shape(_IOC(_IOC_READ, 'x', 255, 0x3fff)), false, true, 0x3fff);
}

TEST(IoctlTest, TunDevices) {
  for (const auto request : {TUNSETIFF, TUNSETQUEUE})
    expect(ioctl_shape(static_cast<uint32_t>(request)), true, true, sizeof(ifreq));
  expect(ioctl_shape(TUNGETIFF), false, true, sizeof(ifreq));
  expect(ioctl_shape(TUNGETFEATURES), false, true, sizeof(int));
  expect(ioctl_shape(TUNSETSNDBUF), true, false, sizeof(int));
  expect(ioctl_shape(TUNSETVNETHDRSZ), true, false, sizeof(int));
  expect(ioctl_shape(TUNSETCARRIER), true, false, sizeof(int));
  expect(ioctl_shape(TUNATTACHFILTER), true, false, sizeof(sock_fprog));
  EXPECT_EQ(ioctl_shape(TUNATTACHFILTER).nested, Nested::kFilter);
  for (const auto request : {TUNSETNOCSUM, TUNSETDEBUG, TUNSETPERSIST, TUNSETOWNER, TUNSETLINK,
                             TUNSETGROUP, TUNSETOFFLOAD}) {
    EXPECT_FALSE(ioctl_shape(static_cast<uint32_t>(request)).pointer) << request;
  }
  expect(ioctl_shape(TIOCSPTLCK), true, false, sizeof(int));
}

TEST(IoctlTest, Fcntl) {
  for (const int command : {F_GETLK, F_OFD_GETLK}) {
    expect(fcntl_shape(static_cast<uint32_t>(command)), true, true, sizeof(struct flock));
  }
  for (const int command : {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW}) {
    expect(fcntl_shape(static_cast<uint32_t>(command)), true, false, sizeof(struct flock));
  }
  expect(fcntl_shape(F_SETOWN_EX), true, false, sizeof(f_owner_ex));
  expect(fcntl_shape(F_GETOWN_EX), false, true, sizeof(f_owner_ex));
  for (const int command : {F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETOWN, F_GETOWN,
                            F_SETSIG, F_SETPIPE_SZ, F_ADD_SEALS, F_SETLEASE, F_NOTIFY}) {
    EXPECT_FALSE(fcntl_shape(static_cast<uint32_t>(command)).pointer) << command;
  }
}

TEST(IoctlTest, OptionsWithPointers) {
  static_assert(sizeof(sock_fprog) == 16 && offsetof(sock_fprog, filter) == 8);
  EXPECT_EQ(setsockopt_nested(SOL_SOCKET, SO_ATTACH_FILTER), Nested::kFilter);
  EXPECT_EQ(setsockopt_nested(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF), Nested::kFilter);
  EXPECT_EQ(setsockopt_nested(SOL_PACKET, PACKET_FANOUT_DATA), Nested::kFilter);
  EXPECT_EQ(setsockopt_nested(SOL_SOCKET, SO_ATTACH_BPF), Nested::kNone);
  static_assert(offsetof(ipt_replace, num_counters) == 84 && offsetof(ipt_replace, counters) == 88);
  static_assert(offsetof(ip6t_replace, num_counters) == 84 &&
                offsetof(ip6t_replace, counters) == 88 && sizeof(xt_counters) == 16);
  EXPECT_EQ(setsockopt_nested(IPPROTO_IP, IPT_SO_SET_REPLACE), Nested::kXtReplace);
  EXPECT_EQ(setsockopt_nested(IPPROTO_IPV6, IP6T_SO_SET_REPLACE), Nested::kXtReplace);
}

}  // namespace
}  // namespace mino::abi
