// SPDX-License-Identifier: Apache-2.0
//
// What `mino status --json` prints. minod gathers it. doc/configuration.md fixes its form, which
// programs outside the project check. Used by daemon/control. Clients have chosen the names in it,
// so none may be printed without printable().
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/fd.h"
#include "daemon/config.h"
#include "daemon/device_network.h"
#include "daemon/event_loop.h"
#include "daemon/kernel_instance.h"
#include "daemon/proxy.h"

namespace mino {

class Status {
 public:
  Status(const Config& config, const RunDir& dir, const DeviceNetwork& network,
         const Proxies& proxies, const std::vector<std::unique_ptr<KernelInstance>>& kernels);

  nlohmann::json report();

  // Takes the instances in turn, for a program that starts.
  size_t place() { return next_++ % network_.uplinks().size(); }

 private:
  nlohmann::json instance(size_t index, size_t sessions, int64_t proxy_memory);
  int64_t sockets() const;

  const Config& config_;
  const RunDir& dir_;
  const DeviceNetwork& network_;
  const Proxies& proxies_;
  // Empty if the device uses the kernel of this machine.
  const std::vector<std::unique_ptr<KernelInstance>>& kernels_;
  size_t next_ = 0;
  const EventLoop::Clock::time_point started_ = EventLoop::Clock::now();
  Fd sockstat_, sockstat6_;  // of the device's network; opened once, read often
};

// TCP and UDP sockets in use, from the text of /proc/net/sockstat or sockstat6.
int64_t count_sockets(const std::string& sockstat);

// The memory that a process has to itself, plus its share of the rest, in bytes.
int64_t process_memory(pid_t pid);

}  // namespace mino
