// SPDX-License-Identifier: Apache-2.0
#include "engine/native/control.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace mino {

Control::Control(Proxy& proxy, Fd socket, Fd minod, Fd client)
    : SessionControl(proxy.memory, *proxy.stats, *proxy.stats_table, std::move(socket),
                     std::move(minod), std::move(client)),
      proxy_(proxy),
      nudge_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      watched_(watch(nudge_.get())),
      bells_(proxy.memory.lane_count()) {
  proxy_.control = {SessionControl::socket(), SessionControl::minod(), nudge_.get()};
}

int Control::ready(int fd) {
  uint64_t count;
  (void)!::read(fd, &count, sizeof count);
  return kServing;
}

int Control::after_events(bool any) {
  pause_ = any ? kFirstPause : std::min(2 * pause_, kLongestPause);
  if (reattaching_ && !continue_reattach()) return kEnded;
  return signal_cancelled() || reattaching_ ? pause_ : -1;
}

bool Control::attach(uint32_t lane) {
  proxy_.root.attach(lane);
  return true;
}

bool Control::bell(uint32_t lane, Fd file) {
  // The root thread may still be fetching the old one by its number; it then rings the new one
  // instead.
  const int number = file.get();
  bells_[lane] = std::move(file);
  proxy_.root.set_bell(lane, number);
  return true;
}

bool Control::cancel(uint32_t lane, uint32_t turn) {
  if (Lane* there = proxy_.existing_lane(lane)) there->running().cancel(turn);
  return true;
}

bool Control::begin_reattach() {
  if (reattaching_) return false;
  reattaching_ = true;
  if (++round_ == 0) round_ = 1;
  return true;
}

// Called again every few milliseconds until no lane runs the old image's calls any more.
bool Control::continue_reattach() {
  const uint32_t count = proxy_.memory.lane_count();
  bool all_idle = true;
  for (uint32_t i = 0; i < count; i++) {
    Lane* lane = proxy_.existing_lane(i);
    if (lane == nullptr) continue;
    lane->stop(round_);
    all_idle = lane->idle(round_) && all_idle;
  }
  if (!all_idle) return true;
  for (uint32_t i = 0; i < count; i++) {
    Lane* lane = proxy_.existing_lane(i);
    if (lane != nullptr) {
      lane->reset();
    } else {
      // Claimed, perhaps, and never attached.
      proxy_.memory.lane(i).control->state.store(static_cast<uint32_t>(abi::LaneState::kFree),
                                                 std::memory_order_relaxed);
    }
  }
  for (uint32_t i = 0; i < count; i++) {
    if (Lane* lane = proxy_.existing_lane(i)) lane->resume();
  }
  reattaching_ = false;
  return welcome();
}

bool Control::signal_cancelled() {
  bool any = false;
  for (uint32_t i = 0; i < proxy_.memory.lane_count(); i++) {
    if (Lane* lane = proxy_.existing_lane(i)) any = lane->running().signal_cancelled() || any;
  }
  return any;
}

}  // namespace mino
