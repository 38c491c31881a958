// SPDX-License-Identifier: Apache-2.0
//
// The device's namespaces: a network namespace, and a mount namespace in which its proxies live.
// The latter holds nothing but /proc, a /sys of the device's network, the run directory, the paths
// of the policy and /dev/net/tun. (In the run directory is minod's socket, to which proxies send
// Export and Import, the messages by which files are passed between sessions: abi/message.h.) No
// client may reach host files through its proxy. Used by daemon/device_network. The namespaces have
// no name anywhere: they end when no descriptor of them is open and no process is in them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/run_dir.h"

namespace mino {

struct Namespaces {
  Fd network;
  Fd mount;
};

Result<Namespaces> make_namespaces(const RunDir& dir, const std::vector<std::string>& paths);

// Called in a child: makes a mount namespace whose root holds nothing but these paths, at the same
// places. Only the `writable` ones can be written to. A symbolic link in them cannot lead out of
// them. `root` is an empty directory to mount on.
struct VisiblePath {
  std::string path;
  bool writable;
};
Result<void> enter_own_root(const std::string& root, const std::vector<VisiblePath>& paths);

// Runs `inside` with this thread in another network namespace. The process must have one thread.
Result<void> in_network(int netns, const std::function<Result<void>()>& inside);

}  // namespace mino
