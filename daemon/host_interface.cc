// SPDX-License-Identifier: Apache-2.0
#include "daemon/host_interface.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <iterator>

#include "base/log.h"
#include "base/text.h"
#include "daemon/rtnetlink.h"

namespace mino {

namespace {

// Room for a burst of merged frames until the instance reads them.
constexpr int kReceiveBytes = 16 << 20, kSendBytes = 4 << 20;

std::string other_interfaces() {
  std::vector<std::string> names;
  if (auto netlink = Rtnetlink::open()) {
    for (const Link& link : netlink->links().value_or(std::vector<Link>())) {
      if (link.name != "lo") names.push_back(link.name);
    }
  }
  return names.empty() ? "" : "; there are: " + join(names, ", ");
}

uint64_t fnv1a(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return hash;
}

Result<void> add_filter(int socket, const MacAddress& mac) {
  const uint32_t high = static_cast<uint32_t>(mac[0]) << 8 | mac[1];
  const uint32_t low = static_cast<uint32_t>(mac[2]) << 24 | static_cast<uint32_t>(mac[3]) << 16 |
                       static_cast<uint32_t>(mac[4]) << 8 | mac[5];
  constexpr auto kTagged = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT);
  // Jumps count from the next instruction: 15 is "no", 16 "yes".
  sock_filter program[] = {
      /* 0*/ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kTagged),
      /* 1*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 13),
      /* 2*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
      /* 3*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_8021Q, 11, 0),
      /* 4*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_8021AD, 10, 0),
      // Frames of its own that come back.
      /* 5*/ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8),
      /* 6*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 2),
      /* 7*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      /* 8*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 6, 0),
      /* 9*/ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      /*10*/ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 5, 0),
      /*11*/ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
      /*12*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 2),
      /*13*/ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
      /*14*/ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 1, 0),
      /*15*/ BPF_STMT(BPF_RET | BPF_K, 0),
      /*16*/ BPF_STMT(BPF_RET | BPF_K, 0x40000),
  };
  const sock_fprog whole{std::size(program), program};
  const int on = 1;
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole) != 0 ||
      ::setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) != 0) {
    return errno_error("filter");
  }
  return {};
}

// Makes frames for that address, and all multicast, reach the host: by the filter of the interface,
// or by promiscuous mode if the interface has no filter.
Result<void> join_interface(int socket, int index, const MacAddress& mac) {
  packet_mreq own{index, PACKET_MR_UNICAST, static_cast<unsigned short>(mac.size()), {}};
  std::memcpy(own.mr_address, mac.data(), mac.size());
  const packet_mreq many{index, PACKET_MR_ALLMULTI, 0, {}};
  for (const packet_mreq& request : {own, many}) {
    if (::setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) != 0)
      return errno_error("membership");
  }
  return {};
}

}  // namespace

std::string mac_text(const MacAddress& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                mac[4], mac[5]);
  return text;
}

Result<HostInterface> find_host_interface(const std::string& name) {
  const std::string what = "interface " + name;
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno_error(what);
  HostInterface found{name, 0, 0, {}};
  ifreq request{};
  if (!name.empty() && name.size() < sizeof request.ifr_name) {
    std::strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
    if (::ioctl(socket.get(), SIOCGIFINDEX, &request) == 0) found.index = request.ifr_ifindex;
  }
  if (found.index == 0) return error("this host has no " + what + other_interfaces());
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) return errno_error(what);
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return error(what + " cannot be the uplink: it is not Ethernet" + other_interfaces());
  }
  std::memcpy(found.mac.data(), request.ifr_hwaddr.sa_data, found.mac.size());
  if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return errno_error(what);
  found.mtu = request.ifr_mtu;
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return errno_error(what);
  if ((request.ifr_flags & IFF_UP) == 0) {
    return error(what + " is down; bring it up: ip link set " + name + " up");
  }
  return found;
}

MacAddress instance_mac(const HostInterface& interface, const RunDir& dir, size_t instance) {
  const uint64_t hash =
      fnv1a(mac_text(interface.mac) + " " + dir.path() + " " + std::to_string(instance));
  MacAddress mac{0x02};
  for (size_t i = 1; i < mac.size(); i++) mac[i] = static_cast<uint8_t>(hash >> (8 * i));
  return mac;
}

Result<Fd> open_packet_socket(const std::string& interface, const MacAddress& mac) {
  const std::string what = "packet socket on " + interface;
  // Without a protocol, nothing is received before the filter is in place.
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno_error(what);
  if (auto done = add_filter(socket.get(), mac); !done)
    return error(what + ": " + done.error().text);
  const int on = 1;
  if (::setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0)
    return errno_error(what);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBytes, sizeof kSendBytes);
  if (auto done = attach_packet_socket(socket, interface, mac); !done)
    return std::unexpected(done.error());
  return socket;
}

Result<void> attach_packet_socket(const Fd& socket, const std::string& interface,
                                  const MacAddress& mac) {
  const auto found = find_host_interface(interface);
  if (!found) return std::unexpected(found.error());
  const std::string what = "packet socket on " + interface;
  if (auto done = join_interface(socket.get(), found->index, mac); !done)
    return error(what + ": " + done.error().text);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = found->index;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error(what);
  return {};
}

InterfaceWatch::InterfaceWatch(EventLoop& loop, const std::string& name,
                               std::function<void()> renew)
    : loop_(loop),
      name_(name),
      renew_(std::move(renew)),
      netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  if (const auto found = find_host_interface(name_)) index_ = found->index;
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (::bind(netlink_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    spdlog::warn("changes of interface {} will not be seen: {}", name_, std::strerror(errno));
    netlink_.reset();
    return;
  }
  loop_.add(netlink_.get(), EPOLLIN, [this](uint32_t) { look(); });
}

InterfaceWatch::~InterfaceWatch() {
  if (netlink_.valid()) loop_.remove(netlink_.get());
}

// Events do not say what has changed, and some may be lost, so look at the interface itself.
void InterfaceWatch::look() {
  char events[8192];
  while (::recv(netlink_.get(), events, sizeof events, MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
  }
  const auto found = find_host_interface(name_);
  if (found && found->index != index_) {
    index_ = found->index;
    renew_();
  }
  if (found.has_value() == usable_) return;
  usable_ = found.has_value();
  if (usable_) return spdlog::info("interface {} is up again", name_);
  spdlog::warn("{}; until then the device has no uplink", found.error().text);
}

}  // namespace mino
