// SPDX-License-Identifier: Apache-2.0
#include "daemon/rtnetlink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

namespace mino {

// A message under construction: header, the family's own header, attributes.
class Rtnetlink::Request {
 public:
  template <class Body>
  Request(uint16_t type, int flags, const Body& body) : bytes_(NLMSG_HDRLEN) {
    append(&body, sizeof body);
    header()->nlmsg_type = type;
    header()->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }

  void put(uint16_t type, const void* data, size_t size) {
    const rtattr attribute{static_cast<uint16_t>(RTA_LENGTH(size)), type};
    append(&attribute, sizeof attribute);
    append(data, size);
  }
  void put(uint16_t type, const std::string& text) { put(type, text.c_str(), text.size() + 1); }
  void put(uint16_t type, uint32_t value) { put(type, &value, sizeof value); }

  // Everything appended until close_nest(open_nest()) lies inside the attribute.
  size_t open_nest(uint16_t type) {
    const size_t at = bytes_.size();
    put(type, nullptr, 0);
    return at;
  }
  void close_nest(size_t at) {
    const auto size = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &size, sizeof size);
  }
  void append(const void* data, size_t size) {
    if (size != 0) {
      const auto* from = static_cast<const uint8_t*>(data);
      bytes_.insert(bytes_.end(), from, from + size);
    }
    bytes_.resize((bytes_.size() + 3) & ~size_t{3});
  }

  std::span<const uint8_t> finish(uint32_t sequence) {
    header()->nlmsg_len = static_cast<uint32_t>(bytes_.size());
    header()->nlmsg_seq = sequence;
    return bytes_;
  }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  std::vector<uint8_t> bytes_;
};

namespace {

uint8_t family_of(std::span<const uint8_t> address) {
  return address.size() == 4 ? AF_INET : AF_INET6;
}

// The kernel's own text about a refused request (netlink extended acknowledgement), if it gave any.
std::string extended_text(const nlmsghdr* message) {
  const auto* failure = static_cast<const nlmsgerr*>(NLMSG_DATA(message));
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  size_t skip = sizeof(nlmsgerr);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) skip += failure->msg.nlmsg_len - sizeof(nlmsghdr);
  if (message->nlmsg_len < NLMSG_HDRLEN + NLMSG_ALIGN(skip)) return {};
  size_t left = message->nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(skip);
  const auto* attribute = reinterpret_cast<const rtattr*>(
      reinterpret_cast<const uint8_t*>(failure) + NLMSG_ALIGN(skip));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == NLMSGERR_ATTR_MSG) {
      return std::string(static_cast<const char*>(RTA_DATA(attribute)));
    }
  }
  return {};
}

}  // namespace

Result<Rtnetlink> Rtnetlink::open() {
  Rtnetlink netlink;
  netlink.socket_ = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!netlink.socket_.valid()) return errno_error("cannot open a route netlink socket");
  const int on = 1;
  ::setsockopt(netlink.socket_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(netlink.socket_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return netlink;
}

// Sends a request and hands every answer to `each` until the kernel says that it is done.
template <class Each>
Result<void> Rtnetlink::dump(Request& request, const std::string& what, Each each) {
  const uint32_t sequence = ++sequence_;
  const auto bytes = request.finish(sequence);
  if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) return errno_error(what);
  alignas(nlmsghdr) uint8_t buffer[65536];
  while (true) {
    const ssize_t received = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return errno_error(what);
    auto left = static_cast<uint32_t>(received);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_seq != sequence) continue;
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) {
        const int code = -static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error;
        if (code == 0) return {};
        const std::string text = extended_text(message);
        return std::unexpected(Error{
            what + ": " + std::strerror(code) + (text.empty() ? "" : " (" + text + ")"), code});
      }
      each(message);
    }
  }
}

Result<void> Rtnetlink::change(Request& request, const std::string& what) {
  return dump(request, what, [](const nlmsghdr*) {});
}

Result<std::vector<Link>> Rtnetlink::links() {
  ifinfomsg body{};
  Request request(RTM_GETLINK, NLM_F_DUMP, body);
  std::vector<Link> links;
  auto done = dump(request, "cannot list the network interfaces", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWLINK) return;
    const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
    Link link{info->ifi_index, 0, {}, {}};
    auto left = static_cast<int>(IFLA_PAYLOAD(message));
    for (const rtattr* a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == IFLA_MTU && RTA_PAYLOAD(a) == 4) std::memcpy(&link.mtu, RTA_DATA(a), 4);
      const std::string text(static_cast<const char*>(RTA_DATA(a)),
                             ::strnlen(static_cast<const char*>(RTA_DATA(a)), RTA_PAYLOAD(a)));
      if (a->rta_type == IFLA_IFNAME) link.name = text;
      if (a->rta_type == IFLA_IFALIAS) link.alias = text;
    }
    links.push_back(std::move(link));
  });
  if (!done) return std::unexpected(done.error());
  return links;
}

Result<std::optional<Link>> Rtnetlink::find_link(const std::string& name) {
  auto all = links();
  if (!all) return std::unexpected(all.error());
  for (Link& link : *all) {
    if (link.name == name) return std::optional<Link>(std::move(link));
  }
  return std::optional<Link>();
}

Result<std::vector<Ipv4Net>> Rtnetlink::ipv4_routes() {
  rtmsg body{};
  body.rtm_family = AF_INET;
  Request request(RTM_GETROUTE, NLM_F_DUMP, body);
  std::vector<Ipv4Net> routes;
  auto done = dump(request, "cannot list the routes", [&](const nlmsghdr* message) {
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(message));
    if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_family != AF_INET) return;
    Ipv4Net net{0, route->rtm_dst_len};
    auto left = static_cast<int>(RTM_PAYLOAD(message));
    for (const rtattr* a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type != RTA_DST || RTA_PAYLOAD(a) != 4) continue;
      std::memcpy(&net.address, RTA_DATA(a), 4);
      net.address = ntohl(net.address);
    }
    routes.push_back(net);
  });
  if (!done) return std::unexpected(done.error());
  return routes;
}

int Rtnetlink::default_route_link(int family) {
  rtmsg body{};
  body.rtm_family = static_cast<uint8_t>(family);
  Request request(RTM_GETROUTE, NLM_F_DUMP, body);
  int found = 0;
  (void)dump(request, "cannot list the routes", [&](const nlmsghdr* message) {
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(message));
    if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_family != family ||
        route->rtm_dst_len != 0 || route->rtm_type != RTN_UNICAST ||
        route->rtm_table != RT_TABLE_MAIN || found != 0) {
      return;
    }
    auto left = static_cast<int>(RTM_PAYLOAD(message));
    for (const rtattr* a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == 4) std::memcpy(&found, RTA_DATA(a), 4);
    }
  });
  return found;
}

uint32_t Rtnetlink::default_gateway(int index) {
  rtmsg body{};
  body.rtm_family = AF_INET;
  Request request(RTM_GETROUTE, NLM_F_DUMP, body);
  uint32_t found = 0;
  (void)dump(request, "cannot list the routes", [&](const nlmsghdr* message) {
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(message));
    if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_dst_len != 0 ||
        route->rtm_type != RTN_UNICAST || route->rtm_table != RT_TABLE_MAIN || found != 0) {
      return;
    }
    int over = 0;
    uint32_t gateway = 0;
    auto left = static_cast<int>(RTM_PAYLOAD(message));
    for (const rtattr* a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == 4) std::memcpy(&over, RTA_DATA(a), 4);
      if (a->rta_type == RTA_GATEWAY && RTA_PAYLOAD(a) == 4) std::memcpy(&gateway, RTA_DATA(a), 4);
    }
    if (over == index) found = ntohl(gateway);
  });
  return found;
}

Result<void> Rtnetlink::add_veth(const std::string& here, const std::string& there, int netns,
                                 int mtu) {
  ifinfomsg body{};
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body);
  request.put(IFLA_IFNAME, here);
  request.put(IFLA_MTU, static_cast<uint32_t>(mtu));
  const size_t info = request.open_nest(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, std::string("veth"));
  const size_t data = request.open_nest(IFLA_INFO_DATA);
  const size_t peer = request.open_nest(VETH_INFO_PEER);
  request.append(&body, sizeof body);
  request.put(IFLA_IFNAME, there);
  request.put(IFLA_MTU, static_cast<uint32_t>(mtu));
  request.put(IFLA_NET_NS_FD, static_cast<uint32_t>(netns));
  request.close_nest(peer);
  request.close_nest(data);
  request.close_nest(info);
  return change(request, "cannot make the interface pair " + here);
}

Result<void> Rtnetlink::add_tap(const std::string& name, int mtu) {
  const std::string what = "cannot make the tap interface " + name;
  const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun.valid()) return errno_error(what + ": /dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) return errno_error(what);
  if (::ioctl(tun.get(), TUNSETPERSIST, 1) != 0) return errno_error(what);
  auto link = find_link(name);
  if (!link) return std::unexpected(link.error());
  if (!link->has_value()) return error(what + ": it vanished");
  ifinfomsg body{};
  body.ifi_index = (*link)->index;
  Request change_mtu(RTM_SETLINK, NLM_F_ACK, body);
  change_mtu.put(IFLA_MTU, static_cast<uint32_t>(mtu));
  return change(change_mtu, what);
}

Result<void> Rtnetlink::set_alias(int index, const std::string& alias) {
  ifinfomsg body{};
  body.ifi_index = index;
  Request request(RTM_SETLINK, NLM_F_ACK, body);
  request.put(IFLA_IFALIAS, alias.data(), alias.size());
  return change(request, "cannot note the owner of interface " + std::to_string(index));
}

Result<void> Rtnetlink::set_up(int index) {
  ifinfomsg body{};
  body.ifi_index = index;
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  Request request(RTM_SETLINK, NLM_F_ACK, body);
  return change(request, "cannot bring interface " + std::to_string(index) + " up");
}

Result<void> Rtnetlink::add_address(int index, std::span<const uint8_t> address, int prefix) {
  ifaddrmsg body{};
  body.ifa_family = family_of(address);
  body.ifa_prefixlen = static_cast<uint8_t>(prefix);
  // Both ends are ours, so an address needs no duplicate detection before it can be used.
  body.ifa_flags = IFA_F_NODAD | IFA_F_PERMANENT;
  body.ifa_index = static_cast<uint32_t>(index);
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body);
  request.put(IFA_LOCAL, address.data(), address.size());
  request.put(IFA_ADDRESS, address.data(), address.size());
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(body.ifa_family, address.data(), text, sizeof text);
  return change(request, std::string("cannot set the address ") + text);
}

Result<void> Rtnetlink::add_default_route(std::span<const uint8_t> gateway, int index) {
  rtmsg body{};
  body.rtm_family = family_of(gateway);
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body);
  request.put(RTA_GATEWAY, gateway.data(), gateway.size());
  request.put(RTA_OIF, static_cast<uint32_t>(index));
  return change(request, "cannot set the device's default route");
}

Result<void> Rtnetlink::delete_link(int index) {
  ifinfomsg body{};
  body.ifi_index = index;
  Request request(RTM_DELLINK, NLM_F_ACK, body);
  return change(request, "cannot remove interface " + std::to_string(index));
}

}  // namespace mino
