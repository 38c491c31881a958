// SPDX-License-Identifier: Apache-2.0
#include "hook/state/netlink_numbers.h"

#include <gtest/gtest.h>
#include <linux/devlink.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_bpf.h>
#include <linux/veth.h>

#include <cstring>
#include <string>
#include <vector>

namespace mino::hook {

namespace {

using Bytes = std::string;

Bytes number(uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
Bytes nested(uint16_t type, const Bytes& content) {
  const uint16_t head[2] = {static_cast<uint16_t>(4 + content.size()), type};
  Bytes all(reinterpret_cast<const char*>(head), sizeof head);
  all += content;
  all.resize((all.size() + 3) & ~size_t{3});
  return all;
}
Bytes message(uint16_t type, size_t header, const Bytes& attributes) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<uint32_t>(sizeof head + header + attributes.size());
  head.nlmsg_type = type;
  return Bytes(reinterpret_cast<const char*>(&head), sizeof head) + Bytes(header, '\0') +
         attributes;
}

struct Got {
  NumberOf of;
  uint32_t value;
  bool operator==(const Got&) const = default;
};
std::vector<Got> find(const Bytes& bytes, u8 protocol = NETLINK_ROUTE) {
  NetlinkNumber found[8];
  const u32 count = find_netlink_numbers(reinterpret_cast<const u8*>(bytes.data()),
                                         static_cast<u32>(bytes.size()), found, 8);
  std::vector<Got> all;
  for (u32 i = 0; i < count; i++) {
    uint32_t value;
    EXPECT_LE(found[i].at + sizeof value, bytes.size());
    std::memcpy(&value, bytes.data() + found[i].at, sizeof value);
    if (found[i].protocol == protocol) all.push_back({found[i].of, value});
  }
  return all;
}

using enum NumberOf;
constexpr size_t kLink = sizeof(ifinfomsg);

TEST(NetlinkNumbers, OfLinks) {
  const Bytes pid = nested(IFLA_NET_NS_PID, number(7)), fd = nested(IFLA_NET_NS_FD, number(8));
  EXPECT_EQ(find(message(RTM_NEWLINK, kLink, pid + fd)),
            (std::vector<Got>{{kProcess, 7}, {kFile, 8}}));
  const Bytes peer =
      nested(IFLA_LINKINFO | NLA_F_NESTED,
             nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, Bytes(kLink, '\0') + fd)));
  EXPECT_EQ(find(message(RTM_NEWLINK, kLink, peer)), (std::vector<Got>{{kFile, 8}}));
  const Bytes xdp =
      nested(IFLA_XDP, nested(IFLA_XDP_FLAGS, number(1)) + nested(IFLA_XDP_FD, number(9)));
  EXPECT_EQ(find(message(RTM_SETLINK, kLink, xdp)), (std::vector<Got>{{kFile, 9}}));
  EXPECT_TRUE(find(message(RTM_NEWADDR, kLink, pid + fd)).empty());
}

TEST(NetlinkNumbers, OfTraffic) {
  const Bytes action = nested(1, nested(TCA_ACT_OPTIONS, nested(TCA_ACT_BPF_FD, number(5))));
  const Bytes options =
      nested(TCA_OPTIONS, nested(TCA_BPF_FD, number(4)) + nested(TCA_BPF_ACT, action));
  EXPECT_EQ(find(message(RTM_NEWTFILTER, sizeof(tcmsg), options)),
            (std::vector<Got>{{kFile, 4}, {kFile, 5}}));
}

TEST(NetlinkNumbers, OfGenericFamilies) {
  const Bytes bytes = message(0x1d, 4, nested(DEVLINK_ATTR_NETNS_PID, number(3)));
  EXPECT_EQ(find(bytes, NETLINK_GENERIC), (std::vector<Got>{{kProcess, 3}}));
}

TEST(NetlinkNumbers, SeveralMessages) {
  const Bytes one = message(RTM_SETLINK, kLink, nested(IFLA_NET_NS_PID, number(1)));
  EXPECT_EQ(find(one + one), (std::vector<Got>{{kProcess, 1}, {kProcess, 1}}));
}

// Every beginning of a message, and every wrong length in it, finds nothing beyond its end.
TEST(NetlinkNumbers, Malformed) {
  const Bytes whole =
      message(RTM_NEWLINK, kLink,
              nested(IFLA_NET_NS_PID, number(1)) +
                  nested(IFLA_LINKINFO,
                         nested(IFLA_INFO_DATA,
                                nested(VETH_INFO_PEER,
                                       Bytes(kLink, '\0') + nested(IFLA_NET_NS_FD, number(2))))));
  EXPECT_EQ(find(whole).size(), 2u);
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_TRUE(find(whole.substr(0, size)).empty());
    for (const int value : {0, 1, 3, 4, 7, 8, 0x7f, 0x80, 0xff}) {
      Bytes changed = whole;
      changed[size] = static_cast<char>(value);
      find(changed);
    }
  }
}

}  // namespace

}  // namespace mino::hook
