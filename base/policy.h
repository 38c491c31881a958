// SPDX-License-Identifier: Apache-2.0
//
// The policy: which address families and which paths are offloaded. minod holds the policy of the
// device; `mino run --policy` may narrow or widen it for one program. Used by cli/ and daemon/. It
// advises the hook and never protects anything: a proxy is confined in any case.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/settings.h"

namespace mino {

struct Policy {
  std::vector<std::string> families{"inet", "inet6", "packet", "netlink", "can", "key", "pppox"};
  std::vector<std::string> paths;  // directories served by the device, beside network_paths()

  // The network's own files (/proc/net and the like): served by the device, where the sockets are.
  // There are none without an address family.
  const std::vector<std::string>& network_paths() const;
};

// Paths that come with a device that has a kernel of its own: the names of network namespaces,
// where ip(8) keeps them.
extern const std::vector<std::string> kInstancePaths;

// The file that makes tun and tap interfaces, in the network of who opens it.
extern const std::string kTunPath;

// Netlink protocols that are about the network: route, sock_diag, xfrm, fib_lookup, netfilter and
// generic.
extern const std::vector<int> kNetworkNetlinks;

// AF_INET for "inet", and so on.
std::optional<int> family_number(std::string_view name);

// Reads a [policy] table; mistakes are reported through the reader.
void read_policy(SettingsTable& table, Policy& policy);

// A file that holds nothing but [policy].
Result<Policy> read_policy_file(const std::string& path);

}  // namespace mino
