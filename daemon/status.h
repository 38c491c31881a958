// SPDX-License-Identifier: Apache-2.0
//
// What `mino status --json` prints. minod gathers it; the shape is fixed in doc/configuration.md
// and checked by programs outside the project. Used by daemon/control. Names in it were chosen by
// clients: printable() first.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

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
         const Proxies& proxies, KernelInstance* kernel);

  nlohmann::json report();

 private:
  nlohmann::json instance(size_t sessions, int64_t proxy_memory);
  int64_t sockets() const;

  const Config& config_;
  const RunDir& dir_;
  const DeviceNetwork& network_;
  const Proxies& proxies_;
  KernelInstance* const kernel_;  // nullptr: this machine's own kernel
  const EventLoop::Clock::time_point started_ = EventLoop::Clock::now();
  Fd sockstat_, sockstat6_;  // of the device's network; opened once, read often
};

// TCP and UDP sockets in use, from the text of /proc/net/sockstat or sockstat6.
int64_t count_sockets(const std::string& sockstat);

// What a process has to itself plus its share of the rest, in bytes.
int64_t process_memory(pid_t pid);

}  // namespace mino
