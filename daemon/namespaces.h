// SPDX-License-Identifier: Apache-2.0
//
// The device's namespaces: a network namespace, and a mount namespace in which its proxies live.
// The latter holds nothing but /proc, a /sys of the device's network, the run directory (for Export
// and Import) and the directories of the policy, so that no client can reach the host's files
// through its proxy. Used by daemon/device_network. They have no name anywhere: when the last
// descriptor and process is gone, so are they.
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

// In a child: a mount namespace of its own whose root holds nothing but these paths, at the same
// places; those that `writable` names can be written to. Whatever follows a symbolic link in them
// ends up in them. `root` is an empty directory to mount on.
struct VisiblePath {
  std::string path;
  bool writable;
};
Result<void> enter_own_root(const std::string& root, const std::vector<VisiblePath>& paths);

// Runs `inside` with this thread in another network namespace. The process must have one thread.
Result<void> in_network(int netns, const std::function<Result<void>()>& inside);

}  // namespace mino
