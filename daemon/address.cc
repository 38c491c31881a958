// SPDX-License-Identifier: Apache-2.0
#include "daemon/address.h"

#include <arpa/inet.h>

#include "base/text.h"

namespace mino {

std::optional<uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return {};
  return ntohl(address.s_addr);
}

std::string ipv4_text(uint32_t address) {
  in_addr bytes{htonl(address)};
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &bytes, text, sizeof text);
}

std::string Ipv4Net::text() const {
  return ipv4_text(address) + "/" + std::to_string(prefix);
}
std::string Ipv4Net::network_text() const {
  return ipv4_text(network()) + "/" + std::to_string(prefix);
}

Result<UplinkAddresses> parse_uplink(std::string_view address, std::string_view gateway) {
  const std::string shown = "\"" + std::string(address) + "\"";
  const size_t slash = address.find('/');
  if (slash == std::string_view::npos) {
    return error(
        shown + ": no prefix length; write an address with one, as \"10.213.0.2/30\", or \"auto\"");
  }
  const auto number = parse_ipv4(address.substr(0, slash));
  if (!number)
    return error(shown + ": not an IPv4 address; write one as \"10.213.0.2/30\", or \"auto\"");
  const auto prefix = parse_integer(address.substr(slash + 1), 8, 30);
  if (!prefix) {
    return error(shown +
                 ": the prefix length must be from 8 to 30, so that device and host both fit in");
  }
  UplinkAddresses uplink{{*number, static_cast<int>(*prefix)}, 0, gateway.empty()};
  const Ipv4Net& net = uplink.device;
  const uint32_t first_byte = net.address >> 24;
  if (first_byte == 0 || first_byte == 127 || first_byte >= 224) {
    return error(
        shown + ": not an address that an interface can have; use a private one, as 10.213.0.2/30");
  }
  if (net.address == net.network() || net.address == net.broadcast()) {
    return error(
        shown +
        ": this is the network's own or its broadcast address; the device needs one between " +
        ipv4_text(net.network()) + " and " + ipv4_text(net.broadcast()));
  }
  if (gateway.empty()) {
    uplink.gateway = net.network() + 1;
    if (uplink.gateway == net.address) uplink.gateway++;
    return uplink;
  }
  const auto host = parse_ipv4(gateway);
  const std::string host_shown = "gateway \"" + std::string(gateway) + "\"";
  if (!host)
    return error(host_shown +
                 ": not an IPv4 address; write one as \"10.213.0.1\", or leave it out");
  if (!net.contains(*host) || *host == net.network() || *host == net.broadcast()) {
    return error(host_shown + ": not an address of " + net.network_text() +
                 ", the device's network");
  }
  if (*host == net.address) return error(host_shown + ": the device has this address itself");
  uplink.gateway = *host;
  return uplink;
}

Result<std::vector<UplinkAddresses>> following_addresses(const UplinkAddresses& first,
                                                         int64_t count) {
  std::vector<UplinkAddresses> all{first};
  UplinkAddresses next = first;
  while (static_cast<int64_t>(all.size()) < count) {
    next.device.address++;
    if (next.device.address == next.gateway) continue;
    if (next.device.address >= next.device.broadcast()) {
      return error(first.device.network_text() + " has no room for " + std::to_string(count) +
                   " instances from " + ipv4_text(first.device.address) +
                   " on; choose a lower address, or fewer instances");
    }
    all.push_back(next);
  }
  return all;
}

Result<UplinkAddresses> choose_uplink(const std::vector<Ipv4Net>& taken) {
  // Private ranges that are rarely in use. A virtual private network that owns 10.0.0.0/8 leaves
  // the other two free.
  constexpr Ipv4Net kPools[] = {{0x0ad50000, 16},   // 10.213.0.0/16
                                {0xac1dd500, 24},   // 172.29.213.0/24
                                {0xc0a8d500, 24}};  // 192.168.213.0/24
  for (const Ipv4Net& pool : kPools) {
    for (uint32_t base = pool.network(); base < pool.broadcast(); base += 4) {
      const Ipv4Net candidate{base + 2, 30};
      bool is_free = true;
      for (const Ipv4Net& net : taken) {
        if (net.prefix == 0 || !net.overlaps(candidate)) continue;
        is_free = false;
        break;
      }
      if (is_free) return UplinkAddresses{candidate, base + 1, true};
    }
  }
  return error(
      "no free network for the uplink in 10.213.0.0/16, 172.29.213.0/24 and 192.168.213.0/24: "
      "this host has routes to all of them; choose one with --address or uplink.address");
}

std::optional<Ipv4Net> collision(const Ipv4Net& wanted, const std::vector<Ipv4Net>& taken) {
  for (const Ipv4Net& net : taken) {
    if (net.prefix >= wanted.prefix && net.overlaps(wanted)) return net;
  }
  return {};
}

}  // namespace mino
