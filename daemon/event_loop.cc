// SPDX-License-Identifier: Apache-2.0
#include "daemon/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>

#include "base/check.h"

namespace mino {

namespace {
// A descriptor number may be reused within one batch of events; the generation tells the uses
// apart.
uint64_t tag(int fd, uint64_t generation) {
  return generation << 32 | static_cast<uint32_t>(fd);
}
}  // namespace

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  CHECK(epoll_.valid());
}

void EventLoop::add(int fd, uint32_t events, Handler handler) {
  const uint64_t generation = next_id_++ & 0xffffffff;
  entries_[fd] = {generation, events, std::make_shared<Handler>(std::move(handler))};
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag(fd, generation);
  CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void EventLoop::change(int fd, uint32_t events) {
  const auto entry = entries_.find(fd);
  CHECK(entry != entries_.end());
  if (entry->second.events == events) return;
  entry->second.events = events;
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag(fd, entry->second.generation);
  CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::remove(int fd) {
  if (entries_.erase(fd) == 0) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::Timer EventLoop::after(std::chrono::milliseconds delay, std::function<void()> action) {
  const Timer timer{Clock::now() + delay, next_id_++};
  timers_[timer] = std::move(action);
  return timer;
}

void EventLoop::cancel(const Timer& timer) {
  timers_.erase(timer);
}

int EventLoop::timeout_ms() const {
  if (timers_.empty()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
}

void EventLoop::run() {
  while (!stopped_) step(std::chrono::milliseconds(-1));
}

void EventLoop::step(std::chrono::milliseconds wait) {
  epoll_event events[64];
  int timeout = timeout_ms();
  if (wait.count() >= 0 && (timeout < 0 || wait.count() < timeout)) {
    timeout = static_cast<int>(wait.count());
  }
  const int ready = ::epoll_wait(epoll_.get(), events, std::size(events), timeout);
  for (int i = 0; i < ready; i++) {
    const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
    const auto entry = entries_.find(fd);
    if (entry == entries_.end() || tag(fd, entry->second.generation) != events[i].data.u64)
      continue;
    const auto handler = entry->second.handler;  // it may remove itself
    (*handler)(events[i].events);
  }
  while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
  }
}

}  // namespace mino
