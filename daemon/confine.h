// SPDX-License-Identifier: Apache-2.0
//
// Turns a fresh child of minod into a proxy: the device's namespaces, the client's credentials, few
// capabilities, no other descriptors. Used by daemon/proxy, in the child only. It must leave
// nothing of minod's credentials behind, because the client that the proxy serves may find a bug in
// an engine.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "daemon/peer.h"

namespace mino {

struct Confinement {
  int netns, mount_ns;
  pid_t minod;       // the process ends with this one
  std::string name;  // of the client, for ps(1)
};

// Afterwards no descriptors are open but 0, 1, 2 and `keep`.
Result<void> confine_proxy(const Confinement& to, const Peer& peer, std::vector<int> keep);

// The capabilities that a proxy may have, as a mask: those for the network and for changing
// credentials.
uint64_t proxy_capabilities();

}  // namespace mino
