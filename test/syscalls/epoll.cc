// SPDX-License-Identifier: Apache-2.0
//
// epoll with sets that mix sockets and local descriptors: how events come (level, edge, once), who
// gets them, and what registrations survive.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <set>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

int add(int ep, int fd, uint32_t events, int tag = -1) {
  epoll_event event = {events, {.u64 = static_cast<uint64_t>(tag == -1 ? fd : tag)}};
  return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

int modify(int ep, int fd, uint32_t events) {
  epoll_event event = {events, {.u64 = static_cast<uint64_t>(fd)}};
  return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event);
}

// The events of the one descriptor that is ready; 0 if none, -1 if several are.
int only_event(int ep, int fd, int timeout_ms = 0) {
  epoll_event events[8];
  int n = epoll_wait(ep, events, 8, timeout_ms);
  if (n == 0) return 0;
  if (n != 1 || events[0].data.u64 != static_cast<uint64_t>(fd)) return -1;
  return static_cast<int>(events[0].events);
}

struct Mixed {
  int ep = OK(epoll_create1(EPOLL_CLOEXEC));
  Pair sockets = tcp_pair();
  int pipes[2];
  int counter = OK(eventfd(0, EFD_NONBLOCK));

  explicit Mixed(uint32_t events = 0) {
    OK(pipe(pipes));
    if (events == 0) return;
    for (int fd : {sockets.b, pipes[0], counter}) EXPECT_EQ(add(ep, fd, events), 0);
  }
  void wake_socket() {
    EXPECT_EQ(write(sockets.a, "s", 1), 1);
    EXPECT(readable(sockets.b));
  }
  void wake_pipe() { EXPECT_EQ(write(pipes[1], "p", 1), 1); }
  void wake_counter() { EXPECT_EQ(eventfd_write(counter, 1), 0); }
  void drain(int fd) {
    char bytes[8];
    EXPECT(read(fd, bytes, sizeof bytes) > 0);
  }
};

}  // namespace

TEST(level) {
  Mixed m(EPOLLIN);
  epoll_event events[8];
  EXPECT_EQ(epoll_wait(m.ep, events, 8, 0), 0);
  m.wake_socket();
  for (int i = 0; i < 3; i++) EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  m.wake_pipe();
  m.wake_counter();
  EXPECT_EQ(epoll_wait(m.ep, events, 8, 0), 3);
  std::set<uint64_t> tags;
  for (int i = 0; i < 3; i++) tags.insert(events[i].data.u64);
  EXPECT_EQ(tags.size(), 3);
  m.drain(m.counter);
  m.drain(m.pipes[0]);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  m.drain(m.sockets.b);
  EXPECT_EQ(epoll_wait(m.ep, events, 8, 0), 0);
}

TEST(edge) {
  Mixed m(EPOLLIN | EPOLLET);
  for (int round = 0; round < 3; round++) {
    m.wake_socket();
    EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
    EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);  // told once, though the data is still there
    m.wake_pipe();
    EXPECT_EQ(only_event(m.ep, m.pipes[0]), EPOLLIN);
    EXPECT_EQ(only_event(m.ep, m.pipes[0]), 0);
  }
  EXPECT_EQ(modify(m.ep, m.sockets.b, EPOLLIN | EPOLLET), 0);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);  // MOD looks again
  m.drain(m.sockets.b);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);
}

TEST(one_shot) {
  Mixed m(EPOLLIN | EPOLLONESHOT);
  m.wake_socket();
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);
  m.wake_socket();
  EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);
  EXPECT_EQ(modify(m.ep, m.sockets.b, EPOLLIN | EPOLLONESHOT), 0);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  EXPECT_EQ(modify(m.ep, m.sockets.b, EPOLLOUT), 0);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLOUT);
  m.wake_pipe();
  EXPECT_EQ(modify(m.ep, m.sockets.b, 0), 0);
  EXPECT_EQ(only_event(m.ep, m.pipes[0]), EPOLLIN);
  EXPECT_EQ(only_event(m.ep, m.pipes[0]), 0);
}

TEST(woken_by_each) {
  for (int which = 0; which < 3; which++) {
    Mixed m(EPOLLIN);
    epoll_event event = {};
    Outcome outcome;
    while_blocked(
        &outcome, [&] { return epoll_wait(m.ep, &event, 1, 10000); },
        [&](pthread_t) {
          EXPECT(!outcome.done);
          if (which == 0) EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
          if (which == 1) m.wake_pipe();
          if (which == 2) m.wake_counter();
        });
    EXPECT_EQ(outcome.result, 1);
    int fds[] = {m.sockets.b, m.pipes[0], m.counter};
    EXPECT_EQ(event.data.u64, fds[which]);
    EXPECT_EQ(event.events, EPOLLIN);
  }
}

TEST(hang_up) {
  Mixed m;
  EXPECT_EQ(add(m.ep, m.sockets.a, EPOLLIN | EPOLLRDHUP | EPOLLET), 0);
  OK(shutdown(m.sockets.b, SHUT_WR));
  EXPECT_EQ(only_event(m.ep, m.sockets.a, 5000), EPOLLIN | EPOLLRDHUP);
  OK(shutdown(m.sockets.a, SHUT_WR));
  EXPECT_EQ(modify(m.ep, m.sockets.a, 0), 0);
  EXPECT_EQ(only_event(m.ep, m.sockets.a, 5000), EPOLLHUP);
  Pair reset = tcp_pair();
  linger now = {1, 0};
  OK(setsockopt(reset.b, SOL_SOCKET, SO_LINGER, &now, sizeof now));
  int ep = OK(epoll_create1(0));
  EXPECT_EQ(add(ep, reset.a, EPOLLIN), 0);
  close(reset.b);
  EXPECT_EQ(only_event(ep, reset.a, 5000), EPOLLIN | EPOLLERR | EPOLLHUP);
}

TEST(errors) {
  Mixed m;
  epoll_event events[4] = {};
  EXPECT_EQ(add(m.ep, m.sockets.a, EPOLLIN), 0);
  EXPECT_ERR(add(m.ep, m.sockets.a, EPOLLIN), EEXIST);
  EXPECT_ERR(modify(m.ep, m.sockets.b, EPOLLIN), ENOENT);
  EXPECT_ERR(epoll_ctl(m.ep, EPOLL_CTL_DEL, m.sockets.b, events), ENOENT);
  EXPECT_ERR(epoll_ctl(m.ep, EPOLL_CTL_DEL, m.pipes[0], events), ENOENT);
  EXPECT_ERR(epoll_ctl(m.ep, 77, m.sockets.a, events), EINVAL);
  EXPECT_ERR(epoll_ctl(m.ep, 77, m.sockets.b, events), EINVAL);
  EXPECT_ERR(add(m.ep, m.ep, EPOLLIN), EINVAL);
  EXPECT_ERR(add(m.ep, 9999, EPOLLIN), EBADF);
  EXPECT_ERR(add(-1, m.sockets.b, EPOLLIN), EBADF);
  EXPECT_ERR(add(m.sockets.a, m.sockets.b, EPOLLIN), EINVAL);
  EXPECT_ERR(add(m.pipes[0], m.sockets.b, EPOLLIN), EINVAL);
  int file = OK(open("/proc/self/exe", O_RDONLY));
  EXPECT_ERR(add(m.ep, file, EPOLLIN), EPERM);
  int device_file = OK(open("/proc/sys/net/ipv4", O_RDONLY));
  EXPECT_ERR(add(m.ep, device_file, EPOLLIN), EPERM);
  EXPECT_ERR(epoll_wait(m.ep, events, 0, 0), EINVAL);
  EXPECT_ERR(syscall(SYS_epoll_wait, m.ep, events, -1, 0), EINVAL);
  EXPECT_ERR(epoll_wait(m.sockets.a, events, 4, 0), EINVAL);
  EXPECT_ERR(epoll_wait(m.pipes[0], events, 4, 0), EINVAL);
  EXPECT_ERR(epoll_wait(9999, events, 4, 0), EBADF);
  EXPECT_ERR(epoll_create1(0x40), EINVAL);
  EXPECT_ERR(epoll_create(0), EINVAL);
  EXPECT_EQ(fcntl(m.ep, F_GETFD), FD_CLOEXEC);
  char byte;
  EXPECT_ERR(read(m.ep, &byte, 1), EINVAL);
  EXPECT_ERR(send(m.ep, &byte, 1, 0), ENOTSOCK);
}

TEST(nested) {
  Mixed m(EPOLLIN);
  int outer = OK(epoll_create1(0));
  EXPECT_EQ(add(outer, m.ep, EPOLLIN), 0);
  EXPECT_EQ(only_event(outer, m.ep), 0);
  EXPECT_EQ(events_of(m.ep, POLLIN, 0), 0);
  m.wake_socket();
  EXPECT_EQ(only_event(outer, m.ep, 5000), EPOLLIN);
  EXPECT_EQ(events_of(m.ep, POLLIN, 0), POLLIN);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  m.drain(m.sockets.b);
  EXPECT_EQ(only_event(outer, m.ep), 0);
  m.wake_pipe();
  EXPECT_EQ(only_event(outer, m.ep, 5000), EPOLLIN);
  EXPECT_ERR(add(m.ep, outer, EPOLLIN), ELOOP);
  // A wait on the outer set is woken by a socket in the inner one.
  m.drain(m.pipes[0]);
  Outcome outcome;
  epoll_event event;
  while_blocked(
      &outcome, [&] { return epoll_wait(outer, &event, 1, 10000); },
      [&](pthread_t) { EXPECT_EQ(write(m.sockets.a, "s", 1), 1); });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(event.data.u64, m.ep);
}

TEST(nested_too_deep) {
  int sets[7];
  for (int& ep : sets) ep = OK(epoll_create1(0));
  Pair pair = tcp_pair();
  EXPECT_EQ(add(sets[0], pair.a, EPOLLIN), 0);
  int i = 1;
  while (i < 7 && add(sets[i], sets[i - 1], EPOLLIN) == 0) i++;
  EXPECT_EQ(errno, ELOOP);
  check::report("sets in sets: %d", i);
  EXPECT_EQ(write(pair.b, "x", 1), 1);
  EXPECT_EQ(only_event(sets[i - 1], sets[i - 2], 5000), EPOLLIN);
}

TEST(one_at_a_time) {
  int ep = OK(epoll_create1(0));
  Pair pairs[6];
  int pipes[3][2];
  for (auto& pair : pairs) {
    pair = tcp_pair();
    EXPECT_EQ(add(ep, pair.b, EPOLLIN), 0);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(readable(pair.b));
  }
  for (auto& ends : pipes) {
    OK(pipe(ends));
    EXPECT_EQ(add(ep, ends[0], EPOLLIN), 0);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
  }
  // Everybody's turn comes before anybody's second.
  std::set<uint64_t> seen;
  for (int i = 0; i < 9; i++) {
    epoll_event event;
    EXPECT_EQ(epoll_wait(ep, &event, 1, 1000), 1);
    seen.insert(event.data.u64);
  }
  EXPECT_EQ(seen.size(), 9);
}

TEST(closing_removes) {
  Mixed m(EPOLLIN);
  int copy = OK(dup(m.sockets.b));
  m.wake_socket();
  // The registration belongs to the socket: it stays while any descriptor is open …
  close(m.sockets.b);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
  epoll_event event = {};
  EXPECT_ERR(epoll_ctl(m.ep, EPOLL_CTL_DEL, m.sockets.b, &event), EBADF);
  EXPECT_ERR(epoll_ctl(m.ep, EPOLL_CTL_DEL, copy, &event), ENOENT);
  EXPECT_EQ(close(copy), 0);
  EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);  // … and goes with the last one
  int reused = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(reused, m.sockets.b);
  EXPECT_EQ(add(m.ep, reused, EPOLLIN), 0);
  EXPECT_EQ(only_event(m.ep, reused), 0);
}

TEST(dups) {
  Mixed m(EPOLLIN);
  int copy = OK(dup(m.sockets.b)), ep2 = OK(dup(m.ep));
  EXPECT_EQ(add(ep2, copy, EPOLLIN), 0);  // the same socket under another number
  m.wake_socket();
  epoll_event events[8];
  EXPECT_EQ(epoll_wait(m.ep, events, 8, 0), 2);
  EXPECT_EQ(epoll_ctl(m.ep, EPOLL_CTL_DEL, m.sockets.b, nullptr), 0);
  EXPECT_EQ(only_event(ep2, copy), EPOLLIN);
  close(m.ep);
  m.wake_pipe();
  EXPECT_EQ(epoll_wait(ep2, events, 8, 0), 2);
  // dup2 of a local file over a registered socket ends its registration, too.
  close(m.sockets.b);
  EXPECT_EQ(dup2(m.pipes[1], copy), copy);
  EXPECT_EQ(only_event(ep2, m.pipes[0]), EPOLLIN);
}

TEST(exclusive) {
  int from = listener(SOCK_NONBLOCK);
  int one = OK(epoll_create1(0)), two = OK(epoll_create1(0));
  EXPECT_EQ(add(one, from, EPOLLIN | EPOLLEXCLUSIVE), 0);
  EXPECT_EQ(add(two, from, EPOLLIN | EPOLLEXCLUSIVE), 0);
  EXPECT_ERR(modify(one, from, EPOLLIN), EINVAL);
  int third = OK(epoll_create1(0));
  EXPECT_ERR(add(third, from, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
  EXPECT_ERR(add(third, one, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
  int client = connected_to(from);
  epoll_event event;
  EXPECT(epoll_wait(one, &event, 1, 1000) == 1 || epoll_wait(two, &event, 1, 1000) == 1);
  close(client);
}

TEST(timeouts_and_masks) {
  Mixed m(EPOLLIN);
  epoll_event event;
  long before = now_ms();
  EXPECT_EQ(epoll_wait(m.ep, &event, 1, 40), 0);
  EXPECT(now_ms() - before >= 39);
  timespec limit = {0, 30000000};
  before = now_ms();
  EXPECT_EQ(syscall(SYS_epoll_pwait2, m.ep, &event, 1, &limit, nullptr, 8), 0);
  EXPECT(now_ms() - before >= 29);
  limit = {0, 1000000000};
  EXPECT_ERR(syscall(SYS_epoll_pwait2, m.ep, &event, 1, &limit, nullptr, 8), EINVAL);
  on_signal(SIGUSR1, count_signal);
  sigset_t blocked, open_mask;
  sigemptyset(&blocked);
  sigemptyset(&open_mask);
  sigaddset(&blocked, SIGUSR1);
  OK(sigprocmask(SIG_SETMASK, &blocked, nullptr));
  raise(SIGUSR1);
  EXPECT_EQ(epoll_pwait(m.ep, &event, 1, 10, &blocked), 0);
  EXPECT_ERR(epoll_pwait(m.ep, &event, 1, 5000, &open_mask), EINTR);
  EXPECT_EQ(handled, 1);
  raise(SIGUSR1);
  limit = {5, 0};
  EXPECT_ERR(syscall(SYS_epoll_pwait2, m.ep, &event, 1, &limit, &open_mask, 8), EINTR);
  EXPECT_EQ(handled, 2);
  m.wake_socket();
  EXPECT_EQ(epoll_pwait(m.ep, &event, 1, -1, &open_mask), 1);
}

TEST(changed_while_waiting) {
  Mixed m(EPOLLIN);
  Pair late = tcp_pair();
  epoll_event event = {};
  Outcome outcome;
  // Added ready, by another thread: the sleeper wakes.
  EXPECT_EQ(write(late.a, "x", 1), 1);
  EXPECT(readable(late.b));
  while_blocked(
      &outcome, [&] { return epoll_wait(m.ep, &event, 1, 10000); },
      [&](pthread_t) { EXPECT_EQ(add(m.ep, late.b, EPOLLIN), 0); });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(event.data.u64, late.b);
  m.drain(late.b);
  // A set that was all local gets its first socket while somebody waits on it.
  int ep = OK(epoll_create1(0));
  EXPECT_EQ(add(ep, m.pipes[0], EPOLLIN), 0);
  Outcome second;
  while_blocked(
      &second, [&] { return epoll_wait(ep, &event, 1, 10000); },
      [&](pthread_t) {
        EXPECT_EQ(add(ep, late.b, EPOLLIN), 0);
        EXPECT_EQ(write(late.a, "x", 1), 1);
      });
  EXPECT_EQ(second.result, 1);
  EXPECT_EQ(event.data.u64, late.b);
  // Modified to something that holds already.
  EXPECT_EQ(modify(ep, late.b, 0), 0);
  Outcome third;
  while_blocked(
      &third, [&] { return epoll_wait(ep, &event, 1, 10000); },
      [&](pthread_t) { EXPECT_EQ(modify(ep, late.b, EPOLLOUT), 0); });
  EXPECT_EQ(third.result, 1);
  EXPECT_EQ(event.events, EPOLLOUT);
}

TEST(two_waiters) {
  Mixed m(EPOLLIN | EPOLLET);
  std::atomic<int> woken{0};
  auto wait = [&] {
    epoll_event event;
    if (epoll_wait(m.ep, &event, 1, 5000) == 1) woken++;
  };
  std::thread one(wait), two(wait);
  sleep_ms(30);
  EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
  while (woken < 1) sleep_ms(1);
  sleep_ms(30);
  EXPECT_EQ(woken, 1);  // one edge, one thread
  m.wake_pipe();
  one.join();
  two.join();
  EXPECT_EQ(woken, 2);
}

TEST(across_fork) {
  Mixed m(EPOLLIN);
  pid_t pid = child([&] {
    EXPECT_EQ(only_event(m.ep, m.sockets.b, 5000), EPOLLIN);
    m.drain(m.sockets.b);
    EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);
    EXPECT_EQ(add(m.ep, m.sockets.a, EPOLLOUT), 0);  // in the set that both share
    m.wake_pipe();
  });
  EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
  EXPECT_EXIT(pid, 0);
  epoll_event events[4];
  EXPECT_EQ(epoll_wait(m.ep, events, 4, 0), 2);
}

TEST(churn) {
  Mixed m(EPOLLIN);
  for (int i = 0; i < 200; i++) {
    Pair pair = udp_pair();
    EXPECT_EQ(add(m.ep, pair.b, EPOLLIN | EPOLLET), 0);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT_EQ(only_event(m.ep, pair.b, 5000), EPOLLIN);
    if (i % 2) EXPECT_EQ(epoll_ctl(m.ep, EPOLL_CTL_DEL, pair.b, nullptr), 0);
    close_pair(pair);
  }
  m.wake_socket();
  EXPECT_EQ(only_event(m.ep, m.sockets.b), EPOLLIN);
}
