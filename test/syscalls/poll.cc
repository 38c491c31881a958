// SPDX-License-Identifier: Apache-2.0
//
// poll, ppoll, select and pselect6 over sets that mix sockets with pipes and event counters, which
// may live in different kernels but have to look like one.

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// One socket and two local descriptors, each idle until it is made ready.
struct Mixed {
  Pair sockets = tcp_pair();
  int pipes[2];
  int counter = OK(eventfd(0, EFD_NONBLOCK));

  Mixed() { OK(pipe(pipes)); }
  void wake_socket() { EXPECT_EQ(write(sockets.a, "s", 1), 1); }
  void wake_pipe() { EXPECT_EQ(write(pipes[1], "p", 1), 1); }
  void wake_counter() { EXPECT_EQ(eventfd_write(counter, 1), 0); }
};

short bits(int value) {
  return static_cast<short>(value);
}

}  // namespace

TEST(mixed_set) {
  Mixed m;
  pollfd set[3] = {{m.sockets.b, POLLIN, 0}, {m.pipes[0], POLLIN, 0}, {m.counter, POLLIN, 0}};
  for (int ready = 0; ready < 8; ready++) {
    if (ready & 1) m.wake_socket();
    if (ready & 2) m.wake_pipe();
    if (ready & 4) m.wake_counter();
    if (ready & 1) EXPECT(readable(m.sockets.b));
    EXPECT_EQ(poll(set, 3, 0), __builtin_popcount(static_cast<unsigned>(ready)));
    for (int i = 0; i < 3; i++) EXPECT_EQ(set[i].revents, ready & (1 << i) ? POLLIN : 0);
    char byte;
    eventfd_t value;
    if (ready & 1) EXPECT_EQ(read(m.sockets.b, &byte, 1), 1);
    if (ready & 2) EXPECT_EQ(read(m.pipes[0], &byte, 1), 1);
    if (ready & 4) EXPECT_EQ(eventfd_read(m.counter, &value), 0);
  }
}

TEST(woken_by_each) {
  Mixed m;
  for (int which = 0; which < 3; which++) {
    pollfd set[3] = {{m.sockets.b, POLLIN, 0}, {m.pipes[0], POLLIN, 0}, {m.counter, POLLIN, 0}};
    Outcome outcome;
    while_blocked(
        &outcome, [&] { return poll(set, 3, 10000); },
        [&](pthread_t) {
          EXPECT(!outcome.done);
          if (which == 0) m.wake_socket();
          if (which == 1) m.wake_pipe();
          if (which == 2) m.wake_counter();
        });
    EXPECT_EQ(outcome.result, 1);
    char byte;
    eventfd_t value;
    for (int i = 0; i < 3; i++) EXPECT_EQ(set[i].revents, i == which ? POLLIN : 0);
    if (which == 0) EXPECT_EQ(read(m.sockets.b, &byte, 1), 1);
    if (which == 1) EXPECT_EQ(read(m.pipes[0], &byte, 1), 1);
    if (which == 2) EXPECT_EQ(eventfd_read(m.counter, &value), 0);
  }
}

TEST(kinds_of_events) {
  Pair pair = tcp_pair();
  EXPECT_EQ(events_of(pair.a, POLLIN | POLLOUT, 0), POLLOUT);
  EXPECT_EQ(events_of(pair.a, POLLIN | POLLRDNORM | POLLWRNORM, 0), POLLWRNORM);
  OK(shutdown(pair.b, SHUT_WR));
  EXPECT_EQ(events_of(pair.a, bits(POLLIN | POLLRDHUP), 5000), POLLIN | POLLRDHUP);
  EXPECT_EQ(events_of(pair.a, POLLOUT, 0), POLLOUT);
  OK(shutdown(pair.a, SHUT_WR));
  EXPECT_EQ(events_of(pair.a, 0, 5000), POLLHUP);
  int fresh = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(events_of(fresh, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
  EXPECT_EQ(events_of(listener(), POLLIN | POLLOUT, 0), 0);
  int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(events_of(udp, POLLIN | POLLOUT, 0), POLLOUT);
}

TEST(odd_entries) {
  Pair pair = tcp_pair();
  int closed = OK(dup(pair.a));
  close(closed);
  pollfd set[5] = {{-1, POLLIN, 77},
                   {pair.a, POLLOUT, 77},
                   {closed, POLLIN, 77},
                   {pair.a, 0, 77},
                   {-pair.a, POLLOUT, 77}};
  EXPECT_EQ(poll(set, 5, -1), 2);
  EXPECT_EQ(set[0].revents, 0);
  EXPECT_EQ(set[1].revents, POLLOUT);
  EXPECT_EQ(set[2].revents, POLLNVAL);
  EXPECT_EQ(set[3].revents, 0);
  EXPECT_EQ(set[4].revents, 0);
  pollfd same[3] = {{pair.a, POLLOUT, 0}, {pair.a, POLLIN, 0}, {pair.a, POLLOUT, 0}};
  EXPECT_EQ(poll(same, 3, 0), 2);
  // As many entries as descriptors are allowed, then one more.
  rlimit limit = {64, 64};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  std::vector<pollfd> many(65, pollfd{pair.a, POLLOUT, 0});
  EXPECT_EQ(poll(many.data(), 64, 0), 64);
  EXPECT_ERR(poll(many.data(), 65, 0), EINVAL);
}

TEST(timeouts) {
  Mixed m;
  pollfd set[2] = {{m.sockets.b, POLLIN, 0}, {m.pipes[0], POLLIN, 0}};
  for (nfds_t count : {1u, 2u}) {
    long before = now_ms();
    EXPECT_EQ(poll(set, count, 40), 0);
    EXPECT(now_ms() - before >= 39);
  }
  timespec limit = {0, 30000000};
  EXPECT_EQ(ppoll(set, 2, &limit, nullptr), 0);
  limit = {0, 1000000000};
  EXPECT_ERR(ppoll(set, 2, &limit, nullptr), EINVAL);
  limit = {-1, 0};
  EXPECT_ERR(ppoll(set, 2, &limit, nullptr), EINVAL);
  // The raw call writes back what is left.
  limit = {0, 20000000};
  EXPECT_EQ(syscall(SYS_ppoll, set, 2, &limit, nullptr, 8), 0);
  EXPECT(limit.tv_sec == 0 && limit.tv_nsec == 0);
  limit = {100, 0};
  m.wake_socket();
  EXPECT_EQ(syscall(SYS_ppoll, set, 2, &limit, nullptr, 8), 1);
  EXPECT(limit.tv_sec > 0 && limit.tv_sec < 100);
  EXPECT_EQ(poll(nullptr, 0, 20), 0);
}

TEST(a_timer_beside_a_socket) {
  Pair pair = tcp_pair();
  int timer = OK(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec soon = {{0, 0}, {0, 20000000}};
  OK(timerfd_settime(timer, 0, &soon, nullptr));
  pollfd set[2] = {{pair.a, POLLIN, 0}, {timer, POLLIN, 0}};
  EXPECT_EQ(poll(set, 2, 5000), 1);
  EXPECT_EQ(set[1].revents, POLLIN);
}

TEST(select_mixed_set) {
  Mixed m;
  int top = 0;
  fd_set in, out, err;
  auto fill = [&] {
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&err);
    for (int fd : {m.sockets.b, m.pipes[0], m.counter}) {
      FD_SET(fd, &in);
      FD_SET(fd, &err);
      if (fd >= top) top = fd + 1;
    }
    FD_SET(m.sockets.a, &out);
  };
  fill();
  timeval limit = {0, 0};
  EXPECT_EQ(select(top, &in, nullptr, &err, &limit), 0);
  EXPECT(!FD_ISSET(m.sockets.b, &in) && !FD_ISSET(m.counter, &err));
  fill();
  EXPECT_EQ(select(top, &in, &out, &err, nullptr), 1);
  EXPECT(FD_ISSET(m.sockets.a, &out));
  m.wake_pipe();
  m.wake_socket();
  EXPECT(readable(m.sockets.b));
  fill();
  EXPECT_EQ(select(top, &in, &out, nullptr, nullptr), 3);
  EXPECT(FD_ISSET(m.sockets.b, &in) && FD_ISSET(m.pipes[0], &in) && !FD_ISSET(m.counter, &in));
  fill();
  close(m.counter);
  EXPECT_ERR(select(top, &in, nullptr, nullptr, nullptr), EBADF);
  EXPECT_ERR(select(-1, &in, nullptr, nullptr, nullptr), EINVAL);
}

TEST(select_is_woken) {
  Mixed m;
  fd_set in;
  FD_ZERO(&in);
  FD_SET(m.sockets.b, &in);
  FD_SET(m.pipes[0], &in);
  timeval limit = {100, 0};
  Outcome outcome;
  while_blocked(
      &outcome, [&] { return select(FD_SETSIZE, &in, nullptr, nullptr, &limit); },
      [&](pthread_t) { m.wake_socket(); });
  EXPECT_EQ(outcome.result, 1);
  EXPECT(FD_ISSET(m.sockets.b, &in) && !FD_ISSET(m.pipes[0], &in));
  EXPECT(limit.tv_sec > 0 && limit.tv_sec < 100);  // Linux writes back what is left
  timeval nothing = {0, 20000};
  FD_ZERO(&in);
  FD_SET(m.pipes[0], &in);
  EXPECT_EQ(select(FD_SETSIZE, &in, nullptr, nullptr, &nothing), 0);
  EXPECT(nothing.tv_sec == 0 && nothing.tv_usec == 0);
  limit = {-1, 0};
  EXPECT_ERR(select(1, nullptr, nullptr, nullptr, &limit), EINVAL);
}

TEST(select_above_1024) {
  Mixed m;
  EXPECT_EQ(dup2(m.sockets.b, 1100), 1100);
  EXPECT_EQ(dup2(m.pipes[0], 1101), 1101);
  unsigned long in[32] = {};  // 2048 bits
  in[1100 / 64] |= 1ul << (1100 % 64) | 1ul << (1101 % 64);
  m.wake_socket();
  timeval limit = {5, 0};
  EXPECT_EQ(syscall(SYS_select, 1102, in, nullptr, nullptr, &limit), 1);
  EXPECT_EQ(in[1100 / 64], 1ul << (1100 % 64));
  EXPECT_EQ(in[0], 0);
}

// A signal that is let in only for the duration of the call.
TEST(signal_masks) {
  on_signal(SIGUSR1, count_signal);
  sigset_t blocked, open_mask;
  sigemptyset(&blocked);
  sigemptyset(&open_mask);
  sigaddset(&blocked, SIGUSR1);
  OK(sigprocmask(SIG_SETMASK, &blocked, nullptr));
  Mixed m;
  pollfd set[2] = {{m.sockets.b, POLLIN, 0}, {m.pipes[0], POLLIN, 0}};
  timespec limit = {5, 0};
  fd_set in;
  for (nfds_t count : {1u, 2u}) {
    handled = 0;
    raise(SIGUSR1);
    EXPECT_EQ(handled, 0);
    EXPECT_ERR(ppoll(set, count, &limit, &open_mask), EINTR);
    EXPECT_EQ(handled, 1);
    raise(SIGUSR1);
    FD_ZERO(&in);
    FD_SET(m.sockets.b, &in);
    if (count == 2) FD_SET(m.pipes[0], &in);
    EXPECT_ERR(pselect(FD_SETSIZE, &in, nullptr, nullptr, &limit, &open_mask), EINTR);
    EXPECT_EQ(handled, 2);
    EXPECT(FD_ISSET(m.sockets.b, &in));  // untouched
  }
  // The previous mask is in force again.
  raise(SIGUSR1);
  EXPECT_EQ(handled, 2);
  sigset_t now;
  OK(sigprocmask(SIG_SETMASK, nullptr, &now));
  EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
  // Ready descriptors win; the pending signal stays pending.
  m.wake_socket();
  EXPECT(readable(m.sockets.b));
  EXPECT_EQ(ppoll(set, 2, &limit, &open_mask), 1);
  check::report("handled after a ready ppoll: %d", handled.load());
}

// False if the wait ended before the socket was ready.
static bool outlasts_close(long pause_ms) {
  Mixed m;
  int copy = OK(dup(m.sockets.b));
  pollfd set[2] = {{copy, POLLIN, 0}, {m.pipes[0], POLLIN, 0}};
  Outcome outcome;
  bool outlasted = false;
  while_blocked(
      &outcome, [&] { return poll(set, 2, -1); },
      [&](pthread_t) {
        close(copy);  // this wakes nobody; the socket itself is still watched
        sleep_ms(20);
        outlasted = !outcome.done;
        m.wake_socket();
      },
      pause_ms);
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(set[0].revents, POLLNVAL);  // but the number no longer means anything
  return outlasted;
}

TEST(closed_while_waiting) {
  // A poll that begins after the close ends at once. Then another one gets more time to begin.
  bool outlasted = false;
  for (long pause_ms = 30; !outlasted && pause_ms < 4000; pause_ms *= 2)
    outlasted = outlasts_close(pause_ms);
  EXPECT(outlasted);
}

TEST(many_descriptors) {
  std::vector<pollfd> set;
  std::vector<Pair> pairs;
  for (int i = 0; i < 100; i++) {
    pairs.push_back(udp_pair());
    set.push_back({pairs.back().b, POLLIN, 0});
    int pipes[2];
    OK(pipe(pipes));
    set.push_back({pipes[0], POLLIN, 0});
  }
  EXPECT_EQ(poll(set.data(), set.size(), 0), 0);
  EXPECT_EQ(write(pairs[73].a, "x", 1), 1);
  EXPECT_EQ(poll(set.data(), set.size(), 5000), 1);
  EXPECT_EQ(set[146].revents, POLLIN);
}
