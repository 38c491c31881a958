// SPDX-License-Identifier: Apache-2.0
//
// The DNS relay: a child process of minod that listens on loopback addresses of the device's
// network, port 53, and hands what comes to the same addresses of the host's, over UDP and TCP. It
// understands nothing of DNS, has no privileges once its sockets are bound, and everything in it is
// bounded. Used by daemon/resolvers.
#pragma once

#include <string>
#include <vector>

namespace mino {

// In a fresh child of minod. Ends when minod does.
[[noreturn]] void run_dns_relay(const std::vector<std::string>& servers, int netns);

}  // namespace mino
