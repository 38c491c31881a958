// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/netlink_numbers.h. The table follows the callers of get_net_ns_by_fd(),
// get_net_ns_by_pid() and bpf_prog_get_type() in Linux 6.12. Numbers of sockets (L2TP, GTP, NBD)
// are not in it: a socket of these families has the same number on the device.
#include "hook/state/netlink_numbers.h"

#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/gtp.h>
#include <linux/lwtunnel.h>
#include <linux/net_namespace.h>
#include <linux/nexthop.h>
#include <linux/nl80211.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_bpf.h>
#include <linux/veth.h>

#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

constexpr u16 kAny = 0xffff;  // an attribute of whatever type, as in an array
constexpr u32 kMaxDepth = 5;

// One step into a message: to an attribute of this type; nested ones lie behind `header` bytes of
// its value.
struct Step {
  u16 type;
  u8 header = 0;
};

struct Carrier {
  u8 protocol;
  const char* family;  // of NETLINK_GENERIC
  u16 first, last;     // types of messages
  u8 header;           // bytes between the message's header and its attributes
  NumberOf of;
  u8 depth;
  Step path[kMaxDepth];
};

constexpr u8 kLink = sizeof(ifinfomsg), kGeneric = GENL_HDRLEN, kTraffic = sizeof(tcmsg);
using enum NumberOf;

constexpr Carrier route(u16 first, u16 last, u8 header, NumberOf of, u8 depth, Step a, Step b = {},
                        Step c = {}, Step d = {}, Step e = {}) {
  return {NETLINK_ROUTE, nullptr, first, last, header, of, depth, {a, b, c, d, e}};
}
constexpr Carrier link(NumberOf of, u8 depth, Step a, Step b = {}, Step c = {}, Step d = {}) {
  return route(RTM_NEWLINK, RTM_SETLINK, kLink, of, depth, a, b, c, d);
}
constexpr Carrier generic(const char* family, NumberOf of, u16 type) {
  return {NETLINK_GENERIC, family, GENL_MIN_ID, GENL_MAX_ID, kGeneric, of, 1, {{type}}};
}

// VETH_INFO_PEER, VXCAN_INFO_PEER and IFLA_NETKIT_PEER_INFO are the same number.
constexpr Carrier kCarriers[] = {
    link(kProcess, 1, {IFLA_NET_NS_PID}),
    link(kFile, 1, {IFLA_NET_NS_FD}),
    link(kProcess, 4, {IFLA_LINKINFO}, {IFLA_INFO_DATA}, {VETH_INFO_PEER, kLink},
         {IFLA_NET_NS_PID}),
    link(kFile, 4, {IFLA_LINKINFO}, {IFLA_INFO_DATA}, {VETH_INFO_PEER, kLink}, {IFLA_NET_NS_FD}),
    link(kFile, 2, {IFLA_XDP}, {IFLA_XDP_FD}),
    link(kFile, 2, {IFLA_XDP}, {IFLA_XDP_EXPECTED_FD}),
    route(RTM_NEWNSID, RTM_GETNSID, 4, kProcess, 1, {NETNSA_PID}),
    route(RTM_NEWNSID, RTM_GETNSID, 4, kFile, 1, {NETNSA_FD}),
    route(RTM_NEWTFILTER, RTM_GETTFILTER, kTraffic, kFile, 2, {TCA_OPTIONS}, {TCA_BPF_FD}),
    route(RTM_NEWTFILTER, RTM_GETTFILTER, kTraffic, kFile, 5, {TCA_OPTIONS}, {kAny}, {kAny},
          {TCA_ACT_OPTIONS}, {TCA_ACT_BPF_FD}),
    route(RTM_NEWACTION, RTM_GETACTION, sizeof(tcamsg), kFile, 4, {TCA_ROOT_TAB}, {kAny},
          {TCA_ACT_OPTIONS}, {TCA_ACT_BPF_FD}),
    route(RTM_NEWROUTE, RTM_GETROUTE, sizeof(rtmsg), kFile, 3, {RTA_ENCAP}, {kAny},
          {LWT_BPF_PROG_FD}),
    route(RTM_NEWNEXTHOP, RTM_GETNEXTHOP, sizeof(nhmsg), kFile, 3, {NHA_ENCAP}, {kAny},
          {LWT_BPF_PROG_FD}),
    generic(NL80211_GENL_NAME, kProcess, NL80211_ATTR_PID),
    generic(NL80211_GENL_NAME, kFile, NL80211_ATTR_NETNS_FD),
    generic(DEVLINK_GENL_NAME, kProcess, DEVLINK_ATTR_NETNS_PID),
    generic(DEVLINK_GENL_NAME, kFile, DEVLINK_ATTR_NETNS_FD),
    generic("nl802154", kProcess, NL802154_ATTR_PID),
    generic("nl802154", kFile, NL802154_ATTR_NETNS_FD),
    generic("gtp", kFile, GTPA_NET_NS_FD),
};

constexpr u32 aligned(u32 bytes) {
  return (bytes + 3) & ~3u;
}

class Finder {
 public:
  Finder(const u8* bytes, NetlinkNumber* found, u32 room)
      : bytes_(bytes), found_(found), room_(room) {}

  u32 count() const { return count_; }

  // Attributes between `at` and `end`, those of step `depth` (nla_for_each_attr).
  void attributes(const Carrier& carrier, u16 type, u32 depth, u32 at, u32 end) {
    const Step& step = carrier.path[depth];
    nlattr header;
    while (at < end && end - at >= sizeof header) {
      copy(&header, bytes_ + at, sizeof header);
      if (header.nla_len < sizeof header || header.nla_len > end - at) return;
      const u32 value = at + sizeof header, after = at + header.nla_len;
      if (step.type == kAny || (header.nla_type & NLA_TYPE_MASK) == step.type) {
        if (depth + 1u < carrier.depth)
          attributes(carrier, type, depth + 1, value + step.header, after);
        else if (after - value >= 4 && count_ < room_)
          found_[count_++] = {value, carrier.of, type, carrier.protocol, carrier.family};
      }
      at += aligned(header.nla_len);
    }
  }

 private:
  const u8* const bytes_;
  NetlinkNumber* const found_;
  const u32 room_;
  u32 count_ = 0;
};

}  // namespace

u32 find_netlink_numbers(const u8* bytes, u32 count, NetlinkNumber* found, u32 room) {
  Finder finder(bytes, found, room);
  nlmsghdr header;
  for (u32 at = 0; at < count && count - at >= sizeof header;) {  // as netlink_rcv_skb
    copy(&header, bytes + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > count - at) break;
    const u32 end = at + header.nlmsg_len;
    for (const Carrier& carrier : kCarriers) {
      if (header.nlmsg_type >= carrier.first && header.nlmsg_type <= carrier.last)
        finder.attributes(carrier, header.nlmsg_type, 0,
                          at + static_cast<u32>(sizeof header) + aligned(carrier.header), end);
    }
    if (header.nlmsg_len > ~3u) break;
    at += aligned(header.nlmsg_len);
  }
  return finder.count();
}

}  // namespace mino::hook
