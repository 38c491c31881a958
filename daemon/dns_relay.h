// SPDX-License-Identifier: Apache-2.0
//
// The DNS relay: a process that listens on some addresses and forwards what arrives to others, over
// UDP and TCP. Used by daemon/resolvers and by minod's main(). It knows nothing of DNS. It must
// have no privileges once its sockets are bound, and everything in it must be bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mino {

// An address is an IPv4 or IPv6 address, or a path. Beside a path are the relay's unix sockets:
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

// Runs in a fresh child of minod, and ends when minod ends. It listens in the network namespace
// `netns`, or in its own (-1), and reaches the servers from its own.
[[noreturn]] void run_dns_relay(const std::vector<RelayPair>& pairs, int netns);

}  // namespace mino
