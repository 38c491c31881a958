// SPDX-License-Identifier: Apache-2.0
//
// Sockets below and beside the internet protocols: packets as they are on a link, and the netlink
// that tells about links and addresses.

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>

#include "loopback.h"

TEST(packets) {
  int packet = OK(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  sockaddr_ll where = {};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_IP);
  where.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
  EXPECT_EQ(where.sll_ifindex, 1);
  EXPECT_EQ(bind(packet, generic(&where), sizeof where), 0);
  Pair pair = udp_pair();
  EXPECT_EQ(write(pair.a, "mino packet test", 16), 16);
  bool seen = false;
  while (!seen && readable(packet, 1000)) {  // others may use lo, too
    unsigned char bytes[2048];
    sockaddr_ll from = {};
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(packet, bytes, sizeof bytes, 0, generic(&from), &length);
    if (n == 20 + 8 + 16 && memcmp(bytes + 28, "mino packet test", 16) == 0) {
      seen = true;
      EXPECT_EQ(from.sll_family, AF_PACKET);
      EXPECT_EQ(from.sll_ifindex, 1);
      EXPECT_EQ(from.sll_hatype, 772);  // ARPHRD_LOOPBACK
    }
  }
  EXPECT(seen);
}

TEST(route_netlink) {
  int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  EXPECT_EQ(sendto(fd, &request, sizeof request, 0, generic(&kernel), sizeof kernel),
            sizeof request);
  bool loopback_seen = false, done = false;
  while (!done) {
    alignas(nlmsghdr) char bytes[32768];
    ssize_t n = OK(recv(fd, bytes, sizeof bytes, 0));
    auto left = static_cast<unsigned>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) done = true;
      if (m->nlmsg_type != RTM_NEWLINK) continue;
      auto* link = static_cast<ifinfomsg*>(NLMSG_DATA(m));
      if (link->ifi_index == 1 && (link->ifi_flags & IFF_LOOPBACK)) loopback_seen = true;
    }
  }
  EXPECT(loopback_seen);
  EXPECT_ERR(listen(fd, 1), EOPNOTSUPP);
  ifaddrs* list = nullptr;
  OK(getifaddrs(&list));
  bool address_seen = false;
  for (ifaddrs* i = list; i; i = i->ifa_next) {
    if (strcmp(i->ifa_name, "lo") == 0 && i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
      address_seen = true;
    }
  }
  EXPECT(address_seen);
  freeifaddrs(list);
}
