// SPDX-License-Identifier: Apache-2.0
//
// IPv4 networks as the uplink needs them: reading "10.213.0.2/30", and finding a free one. Pure
// computation; the host's routes are an argument. Used by daemon/config and daemon/device_network.
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

// The device's and the host's address on the uplink; on an interface of the host's, a router's.
struct UplinkAddresses {
  Ipv4Net device;
  uint32_t gateway = 0;  // 0: none
  bool guessed = false;  // nobody said which gateway
};

// A configured address; `gateway` may be empty: then it is the first other address of the network.
// Errors say what is wrong with which of the two.
Result<UplinkAddresses> parse_uplink(std::string_view address, std::string_view gateway);

// For several devices on one network: `first`, and the addresses that follow, without the
// gateway's.
Result<std::vector<UplinkAddresses>> following_addresses(const UplinkAddresses& first,
                                                         int64_t count);

// The first /30 that overlaps none of `taken` (the host's routes and addresses; default routes are
// ignored).
Result<UplinkAddresses> choose_uplink(const std::vector<Ipv4Net>& taken);

// The route of `taken` that a configured network would collide with: as long a prefix or a longer
// one.
std::optional<Ipv4Net> collision(const Ipv4Net& wanted, const std::vector<Ipv4Net>& taken);

}  // namespace mino
