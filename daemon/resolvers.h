// SPDX-License-Identifier: Apache-2.0
//
// The name servers that only the host itself can reach: those on its loopback addresses. Offloaded
// programs read the same /etc/resolv.conf, but for them 127.0.0.53 is on another machine, so the
// device relays. This keeps a relay process running for the current servers. Used by minod's
// main(). It must never handle packets itself; daemon/dns_relay does that.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "daemon/dns_relay.h"
#include "daemon/event_loop.h"

namespace mino {

// The loopback name servers in a resolv.conf. A file that names no server means 127.0.0.1
// (resolv.conf(5)).
std::vector<std::string> loopback_resolvers(std::string_view resolv_conf);

// Where offloaded programs look for those servers: in a network namespace of this kernel, or in a
// kernel instance. Only an offloaded process can listen on the addresses of an instance. That relay
// then forwards to a second one on the host, over unix sockets in the run directory, which stay on
// the host for any program.
struct DevicePlace {
  int netns = -1;       // -1: a kernel instance
  std::string run_dir;  // whose device the offloaded relay uses
  size_t instance = 0;
};

class Resolvers {
 public:
  Resolvers(EventLoop& loop, DevicePlace place, std::string path = "/etc/resolv.conf");
  ~Resolvers();

  // A child of minod has ended. Returns true if it was a relay; another one is started after a
  // while.
  bool relay_ended(pid_t pid);
  // The device is a new one, so the relays start again.
  void restart();

 private:
  void watch();
  void refresh();
  void start();
  void stop();
  pid_t start_relay(const std::vector<RelayPair>& pairs, int netns);
  pid_t start_offloaded_relay(const std::vector<RelayPair>& pairs);

  EventLoop& loop_;
  const DevicePlace place_;
  const std::string path_;
  Fd inotify_;
  std::vector<std::string> servers_;
  std::vector<pid_t> relays_;
  bool refresh_due_ = false;
};

}  // namespace mino
