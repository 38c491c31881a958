// SPDX-License-Identifier: Apache-2.0
//
// What `mino status --json` prints. minod gathers it; the shape is fixed in doc/configuration.md
// and checked by programs outside the project. Used by daemon/control. Names in it were chosen by
// clients: printable() first.
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

  // Round robin over the instances, for a program that starts.
  size_t place() { return next_++ % network_.uplinks().size(); }

 private:
  nlohmann::json instance(size_t index, size_t sessions, int64_t proxy_memory);
  int64_t sockets() const;

  const Config& config_;
  const RunDir& dir_;
  const DeviceNetwork& network_;
  const Proxies& proxies_;
  // Empty: this machine's own kernel.
  const std::vector<std::unique_ptr<KernelInstance>>& kernels_;
  size_t next_ = 0;
  const EventLoop::Clock::time_point started_ = EventLoop::Clock::now();
  Fd sockstat_, sockstat6_;  // of the device's network; opened once, read often
};

// TCP and UDP sockets in use, from the text of /proc/net/sockstat or sockstat6.
int64_t count_sockets(const std::string& sockstat);

// What a process has to itself plus its share of the rest, in bytes.
int64_t process_memory(pid_t pid);

}  // namespace mino
