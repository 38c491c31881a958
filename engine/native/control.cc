// SPDX-License-Identifier: Apache-2.0
#include "engine/native/control.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace mino {

namespace {

using abi::Message;
using abi::MessageType;

void set_name(SessionStats& stats, const char* text) {
  // A reader may see a mixture of two names; it is only shown.
  for (size_t i = 0; i < sizeof stats.name - 1; i++) {
    const char c = text[i];
    stats.name[i] = c == '\0' || (c >= ' ' && c < 0x7f) ? c : '?';
    if (c == '\0') break;
  }
}

}  // namespace

Control::Control(Proxy& proxy, Fd socket, Fd minod, Fd client)
    : proxy_(proxy),
      socket_(std::move(socket)),
      minod_(std::move(minod)),
      client_(std::move(client)),
      nudge_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      bells_(proxy.memory.lane_count()) {
  proxy_.control = {socket_.get(), minod_.get(), nudge_.get()};
}

bool Control::watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Control::welcome() {
  Message message;
  message.type = MessageType::kWelcome;
  message.lane_count = proxy_.memory.lane_count();
  message.arena_bytes = proxy_.memory.arena_bytes();
  message.session_id = proxy_.memory.session_id();
  return post_message(socket_.get(), message, {proxy_.memory.object()});
}

int Control::run() {
  if (!watch(socket_.get()) || !watch(minod_.get()) || !watch(nudge_.get())) return kOutOfResources;
  if (client_.valid() && !watch(client_.get())) return kOutOfResources;
  constexpr int kFirstPause = 1, kLongestPause = 32;  // ms
  int pause = kFirstPause;
  bool restless = false;
  for (;;) {
    epoll_event events[4];
    const int n = ::epoll_wait(epoll_.get(), events, 4, restless ? pause : -1);
    pause = n > 0 ? kFirstPause : std::min(2 * pause, kLongestPause);
    for (int i = 0; i < n; i++) {
      const int fd = events[i].data.fd;
      if (fd == minod_.get() || fd == client_.get()) return kClientGone;
      if (fd == nudge_.get()) {
        uint64_t count;
        (void)!::read(fd, &count, sizeof count);
        continue;
      }
      if (fd != socket_.get()) continue;
      Incoming incoming;
      const Arrival arrival = receive_message(fd, incoming);
      if (arrival == Arrival::kBroken) return kClientGone;
      if (arrival == Arrival::kMessage && !handle(incoming)) return kBrokenClient;
      if (arrival == Arrival::kNothing &&
          (events[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) {
        return kClientGone;
      }
    }
    if (reattaching_ && !continue_reattach()) return kClientGone;
    restless = signal_cancelled() || reattaching_;
  }
}

bool Control::handle(Incoming& incoming) {
  const Message& message = incoming.message;
  switch (message.type) {
    case MessageType::kAttachLane:
      return attach(message.lane);
    case MessageType::kBell:
      return incoming.file_count == 1 && bell(message.lane, std::move(incoming.files[0]));
    case MessageType::kCancel:
      return cancel(message.lane, message.turn);
    case MessageType::kAdopt:
      return adopt(incoming);
    case MessageType::kReattach:
      return begin_reattach(incoming);
    default:
      return false;
  }
}

bool Control::attach(uint32_t lane) {
  if (lane >= proxy_.memory.lane_count()) return false;
  proxy_.root.attach(lane);
  return true;
}

bool Control::bell(uint32_t lane, Fd file) {
  if (lane >= proxy_.memory.lane_count()) return false;
  // The root thread may still be fetching the old one by its number; it then rings the new one
  // instead.
  const int number = file.get();
  bells_[lane] = std::move(file);
  proxy_.root.set_bell(lane, number);
  return true;
}

bool Control::cancel(uint32_t lane, uint32_t turn) {
  if (lane >= proxy_.memory.lane_count()) return false;
  if (Lane* there = proxy_.existing_lane(lane)) there->running().cancel(turn);
  return true;
}

// The session's client is now whoever sent this: the kernel says who that was.
bool Control::adopt(const Incoming& incoming) {
  Fd client(static_cast<int>(::syscall(SYS_pidfd_open, incoming.sender, 0)));
  // It may be gone, or not be visible from here; then the socket tells when the session is over.
  if (client.valid() && watch(client.get()))
    client_ = std::move(client);  // the old one leaves the set
  proxy_.stats->client_pid.store(incoming.sender, std::memory_order_relaxed);
  if (incoming.message.text[0] != '\0') set_name(*proxy_.stats, incoming.message.text);
  return true;
}

bool Control::begin_reattach(const Incoming& incoming) {
  if (reattaching_) return false;
  reattaching_ = true;
  if (++round_ == 0) round_ = 1;
  if (incoming.message.text[0] != '\0') set_name(*proxy_.stats, incoming.message.text);
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
