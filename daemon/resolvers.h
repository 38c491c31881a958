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
#include "daemon/event_loop.h"

namespace mino {

// The loopback name servers of a resolv.conf. A file that names none means 127.0.0.1
// (resolv.conf(5)).
std::vector<std::string> loopback_resolvers(std::string_view resolv_conf);

class Resolvers {
 public:
  Resolvers(EventLoop& loop, int netns, std::string path = "/etc/resolv.conf");
  ~Resolvers();

  pid_t relay() const { return relay_; }  // 0: none is needed
  void relay_ended();                     // it should not: starts another one after a while

 private:
  void watch();
  void refresh();
  void start();
  void stop();

  EventLoop& loop_;
  const int netns_;
  const std::string path_;
  Fd inotify_;
  std::vector<std::string> servers_;
  pid_t relay_ = 0;
  bool refresh_due_ = false;
};

}  // namespace mino
