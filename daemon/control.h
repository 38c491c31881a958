// SPDX-License-Identifier: Apache-2.0
//
// The control socket: one JSON object per line in, one per line out. {"command":"status"} is for
// everyone on the host, {"command":"down"} for root and for the owner of the device. Used by
// minod's main(); cli/ is the client. It must never wait for a client.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/fd.h"
#include "daemon/event_loop.h"
#include "daemon/status.h"

namespace mino {

class Control {
 public:
  Control(EventLoop& loop, Fd listener, Status& status, std::function<void()> down);
  ~Control();

 private:
  static constexpr size_t kMaxConnections = 64;
  static constexpr size_t kMaxRequest = 4096;
  static constexpr std::chrono::seconds kPatience{10};

  struct Connection {
    Fd socket;
    EventLoop::Timer deadline;
    std::string in, out;
  };

  void accept_all();
  void serve(int fd, uint32_t events);
  void answer(Connection& connection, std::string_view line);
  void close(int fd);

  EventLoop& loop_;
  Fd listener_;
  Status& status_;
  std::function<void()> down_;
  std::map<int, Connection> connections_;
};

}  // namespace mino
