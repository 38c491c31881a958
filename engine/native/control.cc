// SPDX-License-Identifier: Apache-2.0
#include "engine/native/control.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

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
  for (; answered_ != proxy_.root.given(); answered_++) askers_.pop_front();
  if (reattaching_ && !continue_reattach()) return kEnded;
  if (!reattaching_ && !to_clear_.empty()) continue_clear();
  return signal_cancelled() || reattaching_ || !to_clear_.empty() ? pause_ : -1;
}

bool Control::attach(uint32_t lane) {
  proxy_.root.attach(lane);
  return true;
}

bool Control::bell(uint32_t lane, Fd file) {
  // The root thread may still be fetching the old bell by its number. It then rings the new one
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

bool Control::share() {
  proxy_.shared.store(true, std::memory_order_release);
  return true;
}

bool Control::clear(uint32_t number) {
  to_clear_.push_back(number);
  return true;
}

bool Control::give(uint32_t number, Fd asker) {
  if (askers_.size() == kMaxAskers || number >= abi::kMaxFd) {
    refuse_parcel(asker.get(), number >= abi::kMaxFd ? -EBADF : -EAGAIN);
    return true;
  }
  proxy_.root.give(static_cast<int>(number), asker.get());
  askers_.push_back(std::move(asker));
  return true;
}

std::vector<bool> Control::lanes_of(uint32_t client) const {
  std::vector<bool> which(proxy_.memory.lane_count());
  for (uint32_t i = 0; i < which.size(); i++) {
    const uint32_t state = proxy_.memory.lane(i).state->load(std::memory_order_relaxed);
    which[i] = state == static_cast<uint32_t>(abi::LaneState::kOwned) + client;
  }
  return which;
}

// True once none of these lanes runs a call any more. Until then, every call of this asks them
// again.
bool Control::stop_lanes(const std::vector<bool>& which) {
  bool all_idle = true;
  for (uint32_t i = 0; i < which.size(); i++) {
    Lane* lane = which[i] ? proxy_.existing_lane(i) : nullptr;
    if (lane == nullptr) continue;
    lane->stop(round_);
    all_idle = lane->idle(round_) && all_idle;
  }
  return all_idle;
}

void Control::reset_lanes(const std::vector<bool>& which) {
  for (uint32_t i = 0; i < which.size(); i++) {
    if (!which[i]) continue;
    if (Lane* lane = proxy_.existing_lane(i)) {
      lane->reset();
    } else {
      // The lane was perhaps claimed, and never attached.
      proxy_.memory.lane(i).state->store(static_cast<uint32_t>(abi::LaneState::kFree),
                                         std::memory_order_relaxed);
    }
  }
  for (uint32_t i = 0; i < which.size(); i++) {
    Lane* lane = which[i] ? proxy_.existing_lane(i) : nullptr;
    if (lane != nullptr) lane->resume();
  }
}

// continue_reattach() and continue_clear() are called again every few milliseconds, until no lane
// runs calls of the old image or of the dead client any more.
bool Control::continue_reattach() {
  const std::vector<bool> all(proxy_.memory.lane_count(), true);
  if (!stop_lanes(all)) return true;
  reset_lanes(all);
  reattaching_ = false;
  return welcome();
}

void Control::continue_clear() {
  if (which_.empty()) {
    which_ = lanes_of(to_clear_.front());
    if (++round_ == 0) round_ = 1;
  }
  if (!stop_lanes(which_)) return;
  reset_lanes(which_);
  which_.clear();
  cleared(to_clear_.front());
  to_clear_.erase(to_clear_.begin());
}

bool Control::signal_cancelled() {
  bool any = false;
  for (uint32_t i = 0; i < proxy_.memory.lane_count(); i++) {
    if (Lane* lane = proxy_.existing_lane(i)) any = lane->running().signal_cancelled() || any;
  }
  return any;
}

}  // namespace mino
