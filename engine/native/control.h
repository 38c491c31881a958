// SPDX-License-Identifier: Apache-2.0
//
// The control thread: the proxy's leader. Reads control messages, watches for the end of the client
// and of minod, and keeps signalling cancelled calls until they have ended. Used by
// native_engine.cc and fork.cc. It never blocks on anything but its epoll set, so that nothing a
// client does can keep a proxy alive.
#pragma once

#include <vector>

#include "base/fd.h"
#include "channel/session_socket.h"
#include "engine/native/proxy.h"

namespace mino {

class Control {
 public:
  // Takes over the descriptors. `client` is a pidfd, or invalid until Adopt.
  Control(Proxy& proxy, Fd socket, Fd minod, Fd client);

  bool valid() const { return epoll_.valid() && nudge_.valid(); }
  bool welcome();
  // Serves until the session ends; the process's exit status.
  int run();

 private:
  bool watch(int fd);
  bool handle(Incoming& incoming);
  bool attach(uint32_t lane);
  bool bell(uint32_t lane, Fd file);
  bool cancel(uint32_t lane, uint32_t turn);
  bool adopt(const Incoming& incoming);
  bool begin_reattach(const Incoming& incoming);
  bool continue_reattach();
  bool signal_cancelled();

  Proxy& proxy_;
  Fd socket_, minod_, client_, nudge_, epoll_;
  std::vector<Fd> bells_;
  uint32_t round_ = 0;  // of exec
  bool reattaching_ = false;
};

}  // namespace mino
