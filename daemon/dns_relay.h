// SPDX-License-Identifier: Apache-2.0
//
// The DNS relay: a process that listens on some addresses and hands what comes to others, over UDP
// and TCP. It understands nothing of DNS, has no privileges once its sockets are bound, and
// everything in it is bounded. Used by daemon/resolvers and by minod's main().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mino {

// An address is one of IPv4 or IPv6; or a path, beside which the relay's unix sockets are,
// PATH-<port>d for datagrams and PATH-<port>s for streams.
struct RelayPair {
  std::string listen;
  uint16_t listen_port = 53;
  std::string server;
  uint16_t server_port = 53;

  // "127.0.0.53#53=10.213.0.1#61053", for a command line.
  std::string text() const;
  static std::optional<RelayPair> parse(std::string_view text);
};

// In a fresh child of minod. Ends when minod does. Listens in the network namespace `netns`, or
// where it is (-1), and reaches the servers from where it is.
[[noreturn]] void run_dns_relay(const std::vector<RelayPair>& pairs, int netns);

}  // namespace mino
