// SPDX-License-Identifier: Apache-2.0
//
// How events come out of an epoll set that mixes sockets and local descriptors: level-triggered,
// edge-triggered, one-shot; in which order, to whom, and how long a wait takes. The life of sets is
// in epoll_sets.cc.

#include <sys/syscall.h>

#include <set>

#include "children.h"
#include "epoll_sets.h"
#include "memory.h"

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
    EXPECT_EQ(only_event(m.ep, m.sockets.b), 0);  // reported once, though the data is still there
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
  // Every descriptor has its turn before any has its second.
  std::set<uint64_t> seen;
  for (int i = 0; i < 18; i++) {
    epoll_event event;
    EXPECT_EQ(epoll_wait(ep, &event, 1, 1000), 1);
    seen.insert(event.data.u64);
  }
  EXPECT_EQ(seen.size(), 9);
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
