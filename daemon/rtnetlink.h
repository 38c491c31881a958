// SPDX-License-Identifier: Apache-2.0
//
// The few rtnetlink requests that a device's uplink needs: links, addresses, routes (rtnetlink(7)).
// A socket belongs to the network namespace in which it was opened. Used by daemon/device_network.
// It must not need ip(8), which may not be installed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "daemon/address.h"

namespace mino {

struct Link {
  int index = 0;
  uint32_t mtu = 0;
  std::string name;
  std::string alias;  // IFLA_IFALIAS: where mino notes that the link is its own
};

class Rtnetlink {
 public:
  static Result<Rtnetlink> open();

  Result<std::vector<Link>> links();
  Result<std::optional<Link>> find_link(const std::string& name);
  // The destinations of all IPv4 routes, which include the host's own addresses (table local).
  Result<std::vector<Ipv4Net>> ipv4_routes();
  // The interface of the default route: its index, or 0 if there is none.
  int default_route_link(int family);
  // The IPv4 gateway of the default route over that interface, or 0.
  uint32_t default_gateway(int index);

  // A veth pair: one end here, the other in the namespace `netns`.
  Result<void> add_veth(const std::string& here, const std::string& there, int netns, int mtu);
  // A tap interface whose frames carry a virtio_net_hdr; it stays until it is deleted.
  Result<void> add_tap(const std::string& name, int mtu);
  Result<void> set_alias(int index, const std::string& alias);
  Result<void> set_up(int index);
  Result<void> add_address(int index, std::span<const uint8_t> address, int prefix);
  Result<void> add_default_route(std::span<const uint8_t> gateway, int index);
  Result<void> delete_link(int index);

 private:
  class Request;
  Result<void> change(Request& request, const std::string& what);
  template <class Each>
  Result<void> dump(Request& request, const std::string& what, Each each);

  Fd socket_;
  uint32_t sequence_ = 0;
};

}  // namespace mino
