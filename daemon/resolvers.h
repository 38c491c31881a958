// SPDX-License-Identifier: Apache-2.0
//
// Which of the host's name servers only the host itself can reach: those on loopback addresses.
// Offloaded programs read the same /etc/resolv.conf, but 127.0.0.53 is another machine's for them,
// so the device relays. Keeps a relay process running for the current ones. Used by minod's main();
// packets are daemon/dns_relay's business.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "daemon/dns_relay.h"
#include "daemon/event_loop.h"

namespace mino {

// The loopback name servers of a resolv.conf. A file that names none means 127.0.0.1
// (resolv.conf(5)).
std::vector<std::string> loopback_resolvers(std::string_view resolv_conf);

// Where offloaded programs look for those servers: in a network namespace of this kernel, or in a
// kernel instance, whose addresses only an offloaded process can listen on. That one then hands
// over to a second relay by unix sockets in the run directory, which are the host's for any
// program.
struct DevicePlace {
  int netns = -1;       // -1: a kernel instance
  std::string run_dir;  // whose device the offloaded relay uses
  size_t instance = 0;
};

class Resolvers {
 public:
  Resolvers(EventLoop& loop, DevicePlace place, std::string path = "/etc/resolv.conf");
  ~Resolvers();

  // A child of minod's has ended: true if it was a relay. Another one is started after a while.
  bool relay_ended(pid_t pid);
  // The device is a new one: relays begin anew.
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
