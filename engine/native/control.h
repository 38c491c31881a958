// SPDX-License-Identifier: Apache-2.0
//
// The control thread, which is the proxy's leader. It says what control messages mean for the lane
// threads of this process, and keeps signalling cancelled calls until they have ended. Used by
// native_engine.cc and fork.cc. Never blocks.
#pragma once

#include <deque>
#include <vector>

#include "base/fd.h"
#include "channel/session_control.h"
#include "engine/native/proxy.h"

namespace mino {

class Control final : public SessionControl {
 public:
  Control(Proxy& proxy, Fd socket, Fd minod, Fd client);

  bool valid() const { return SessionControl::valid() && nudge_.valid() && watched_; }

 private:
  bool attach(uint32_t lane) override;
  bool bell(uint32_t lane, Fd file) override;
  bool cancel(uint32_t lane, uint32_t turn) override;
  bool begin_reattach() override;
  bool share() override;
  bool clear(uint32_t number) override;
  bool give(uint32_t number, Fd asker) override;
  int ready(int fd) override;
  int after_events(bool any) override;
  bool continue_reattach();
  void continue_clear();
  bool stop_lanes(const std::vector<bool>& which);
  void reset_lanes(const std::vector<bool>& which);
  std::vector<bool> lanes_of(uint32_t client) const;
  bool signal_cancelled();

  static constexpr int kFirstPause = 1, kLongestPause = 32;  // ms

  Proxy& proxy_;
  Fd nudge_;
  bool watched_;
  std::vector<Fd> bells_;
  std::deque<Fd> askers_;  // the clients that the root thread answers, in this order
  uint32_t answered_ = 0;
  uint32_t round_ = 0;  // of exec; see Lane::stop()
  bool reattaching_ = false;
  // Clients whose lanes must be cleared. `which_` are the lanes of the first one, once that has
  // begun.
  std::vector<uint32_t> to_clear_;
  std::vector<bool> which_;
  int pause_ = kFirstPause;
};

}  // namespace mino
