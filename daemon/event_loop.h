// SPDX-License-Identifier: Apache-2.0
//
// One thread, one epoll set, some timers. minod and its DNS relay run on it. A handler may remove
// any descriptor while it runs, even its own. The loop must sleep when it is idle: without a timer
// it waits for ever.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/fd.h"

namespace mino {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(uint32_t events)>;
  using Timer = std::pair<Clock::time_point, uint64_t>;

  EventLoop();

  void add(int fd, uint32_t events, Handler handler);
  void change(int fd, uint32_t events);
  void remove(int fd);  // before the descriptor is closed

  Timer after(std::chrono::milliseconds delay, std::function<void()> action);
  void cancel(const Timer& timer);

  void run();  // until stop()
  void stop() { stopped_ = true; }
  // Handles what is ready now or within `wait`, and timers that are due.
  void step(std::chrono::milliseconds wait);

 private:
  struct Entry {
    uint64_t generation;
    uint32_t events;
    std::shared_ptr<Handler> handler;
  };
  int timeout_ms() const;

  Fd epoll_;
  std::unordered_map<int, Entry> entries_;
  std::map<Timer, std::function<void()>> timers_;
  uint64_t next_id_ = 1;
  bool stopped_ = false;
};

}  // namespace mino
