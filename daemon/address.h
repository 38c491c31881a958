// SPDX-License-Identifier: Apache-2.0
//
// IPv4 networks as the uplink needs them: reads "10.213.0.2/30", and finds a free network. Used by
// daemon/config and daemon/device_network. Pure computation: it must never ask the system, so the
// routes of the host are an argument.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace mino {

// An address with the length of its network's prefix, in host byte order.
struct Ipv4Net {
  uint32_t address = 0;
  int prefix = 32;

  uint32_t mask() const { return prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix); }
  uint32_t network() const { return address & mask(); }
  uint32_t broadcast() const { return network() | ~mask(); }
  bool contains(uint32_t other) const { return (other & mask()) == network(); }
  bool overlaps(const Ipv4Net& other) const {
    return contains(other.network()) || other.contains(network());
  }
  std::string text() const;          // "10.213.0.2/30"
  std::string network_text() const;  // "10.213.0.0/30"
};

std::optional<uint32_t> parse_ipv4(std::string_view text);
std::string ipv4_text(uint32_t address);

// The two addresses on the uplink: of the device and of the host. On an interface of the host, the
// second is that of a router.
struct UplinkAddresses {
  Ipv4Net device;
  uint32_t gateway = 0;  // 0: none
  bool guessed = false;  // no gateway was configured
};

// Parses a configured address. If `gateway` is empty, it is the first other address of the network.
// Errors say which of the two is wrong, and what is wrong with it.
Result<UplinkAddresses> parse_uplink(std::string_view address, std::string_view gateway);

// For several devices on one network: `first` and the addresses that follow it, without the
// gateway's address.
Result<std::vector<UplinkAddresses>> following_addresses(const UplinkAddresses& first,
                                                         int64_t count);

// The first /30 that overlaps none of `taken`, the routes and addresses of the host. Default routes
// are ignored.
Result<UplinkAddresses> choose_uplink(const std::vector<Ipv4Net>& taken);

// The route in `taken` that a configured network would collide with: one with the same prefix
// length or a longer one.
std::optional<Ipv4Net> collision(const Ipv4Net& wanted, const std::vector<Ipv4Net>& taken);

}  // namespace mino
