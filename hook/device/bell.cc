// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/bell.h. The watch is an epoll set with the bell and the session's socket. A set
// of the program is a member only while the thread sleeps, and disarms itself, so that what is left
// of it, if the program closes its number meanwhile, wakes nobody twice.
#include "hook/device/bell.h"

#include "hook/base/limits.h"
#include "hook/device/message.h"
#include "hook/state/interruptible.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/process.h"

namespace mino::hook {

namespace {

bool timeouts_noted;

constexpr u64 kDevice = 0, kSet = 1;  // epoll_event.data

bool watch(int watch_fd, int fd, u32 events, u64 what) {
  epoll_event event{events, what};
  const u64 set = static_cast<u64>(watch_fd), file = static_cast<u64>(fd);
  const long result = raw(__NR_epoll_ctl, set, EPOLL_CTL_ADD, file, ptr(&event));
  return result == 0 ||
         (result == -EEXIST && raw(__NR_epoll_ctl, set, EPOLL_CTL_MOD, file, ptr(&event)) == 0);
}

// Makes the thread's watch, unless it has one.
bool prepare_watch(ThreadState* ts) {
  if (ts->watch >= 0) return true;
  const long fd = with_more_numbers([] { return raw(__NR_epoll_create1, EPOLL_CLOEXEC); });
  if (is_error(fd)) return false;
  ts->watch = make_private(ts->process, static_cast<int>(fd));
  if (watch(ts->watch, ts->bell, EPOLLIN, kDevice) &&
      watch(ts->watch, ts->process->session().socket, 0, kDevice))
    return true;
  close_private(ts->process, ts->watch);
  return false;
}

// The same as the watch, without noticing a stop.
Woken poll_bell(ThreadState* ts) {
  pollfd entries[2] = {{ts->bell, POLLIN, 0}, {ts->process->session().socket, 0, 0}};
  const u64 args[6] = {ptr(entries), 2, 0, 0, 8, 0};
  mino_interruptible(ts, __NR_ppoll, args);
  if (entries[0].revents & POLLIN) quiet_bell(ts);
  return Woken::kByDevice;
}

}  // namespace

bool prepare_bell(ThreadState* ts) {
  if (ts->bell < 0) {
    const long fd =
        with_more_numbers([] { return raw(__NR_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC); });
    if (is_error(fd)) return false;
    ts->bell = make_private(ts->process, static_cast<int>(fd));
    ts->bell_sent = false;
  }
  if (!ts->bell_sent) {
    abi::Message message;
    message.type = abi::MessageType::kBell;
    message.lane = ts->lane_index;
    ts->bell_sent = send_message(ts->process->session(), message, ts->bell);
  }
  return ts->bell_sent;
}

void quiet_bell(ThreadState* ts) {
  u64 rung;
  raw(__NR_read, static_cast<u64>(ts->bell), ptr(&rung), 8);
}

Woken sleep_on_bell_and_set(ThreadState* ts, int epfd) {
  if (!prepare_watch(ts)) return epfd < 0 ? poll_bell(ts) : Woken::kCannot;
  if (epfd >= 0 && !watch(ts->watch, epfd, EPOLLIN | EPOLLONESHOT, kSet)) return Woken::kCannot;
  epoll_event events[3];
  const u64 args[6] = {static_cast<u64>(ts->watch), ptr(events), 3, 0, 0, 8};
  const long got = mino_interruptible(ts, __NR_epoll_pwait2, args);
  if (epfd >= 0) {
    epoll_event none{};
    raw(__NR_epoll_ctl, args[0], EPOLL_CTL_DEL, static_cast<u64>(epfd), ptr(&none));
  }
  bool set = false, device = false;
  for (long i = 0; i < got; i++) (events[i].data == kSet ? set : device) = true;
  if (device) quiet_bell(ts);
  if (got > 0) return set ? Woken::kBySet : Woken::kByDevice;
  if (got != -EINTR && got != abi::kErestartsys) return epfd < 0 ? poll_bell(ts) : Woken::kCannot;
  return __atomic_load_n(&ts->deferred, __ATOMIC_RELAXED) ? Woken::kBySignal : Woken::kByStop;
}

bool stops_matter() {
  return __atomic_load_n(&timeouts_noted, __ATOMIC_RELAXED);
}

void note_socket_timeouts() {
  __atomic_store_n(&timeouts_noted, true, __ATOMIC_RELAXED);
}

}  // namespace mino::hook
