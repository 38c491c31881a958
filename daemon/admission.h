// SPDX-License-Identifier: Apache-2.0
//
// The session socket of minod, where clients are admitted. Each connection must say in its first
// message, within a few seconds, what it wants: a session (Hello), or to leave or fetch an open
// file (Export, Import; proxies only). Used by minod's main(). It must do nothing for a peer before
// the whole message has been read and checked.
#pragma once

#include <cstdint>
#include <map>

#include "base/fd.h"
#include "daemon/config.h"
#include "daemon/event_loop.h"
#include "daemon/exchange.h"
#include "daemon/proxy.h"

namespace mino {

class Admission {
 public:
  Admission(EventLoop& loop, Fd listener, const Config& config, Proxies& proxies);
  ~Admission();

 private:
  static constexpr size_t kMaxWaiting = 256;
  static constexpr std::chrono::seconds kPatience{5};

  struct Waiting {
    Fd socket;
    EventLoop::Timer deadline;
  };

  void accept_all();
  void read_first(int socket);
  // These leave the socket to be closed, unless it becomes a session's socket.
  void handle(Fd& socket, const abi::Message& message, Fd file);
  void hello(Fd& socket, const Peer& peer, abi::Message message);
  Fd forget(int socket);

  EventLoop& loop_;
  Fd listener_;
  const Config& config_;
  Proxies& proxies_;
  Exchange exchange_;
  std::map<int, Waiting> waiting_;
};

}  // namespace mino
