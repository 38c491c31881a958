// SPDX-License-Identifier: Apache-2.0
//
// The life of epoll sets and their registrations: sets in sets, what survives dup, close and fork,
// and changes while somebody waits.
#include "epoll_sets.h"

#include <atomic>
#include <thread>
#include <vector>

#include "children.h"

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
  // dup2 of a local file over a registered socket ends its registration too.
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

TEST(changed_while_waiting) {
  Mixed m(EPOLLIN);
  Pair late = tcp_pair();
  epoll_event event = {};
  Outcome outcome;
  // Another thread adds a ready descriptor: the sleeper wakes.
  EXPECT_EQ(write(late.a, "x", 1), 1);
  EXPECT(readable(late.b));
  while_blocked(
      &outcome, [&] { return epoll_wait(m.ep, &event, 1, 10000); },
      [&](pthread_t) { EXPECT_EQ(add(m.ep, late.b, EPOLLIN), 0); });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(event.data.u64, late.b);
  m.drain(late.b);
  // A set with only local members gets its first socket while somebody waits on it.
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
  // Modified to an event that is true already.
  EXPECT_EQ(modify(ep, late.b, 0), 0);
  Outcome third;
  while_blocked(
      &third, [&] { return epoll_wait(ep, &event, 1, 10000); },
      [&](pthread_t) { EXPECT_EQ(modify(ep, late.b, EPOLLOUT), 0); });
  EXPECT_EQ(third.result, 1);
  EXPECT_EQ(event.events, EPOLLOUT);
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

// A set gets its first socket while a thread waits for it, and then another process does.
TEST(first_socket_of_a_set_that_two_processes_wait_for) {
  int ep = OK(epoll_create1(0)), pipes[2], begin[2];
  OK(pipe(pipes));
  OK(pipe(begin));
  EXPECT_EQ(add(ep, pipes[0], EPOLLIN), 0);
  Pair pair = udp_pair();
  EXPECT_EQ(write(pair.a, "s", 1), 1);
  EXPECT(readable(pair.b));
  epoll_event event;
  const pid_t pid = child([&] {
    char byte;
    EXPECT_EQ(read(begin[0], &byte, 1), 1);
    do OK(epoll_wait(ep, &event, 1, -1));
    while (event.data.fd != pipes[0]);
  });
  Outcome first;
  while_blocked(
      &first, [&] { return epoll_wait(ep, &event, 1, 10000); },
      [&](pthread_t) {
        EXPECT_EQ(write(begin[1], "b", 1), 1);
        sleep_ms(100);
        EXPECT_EQ(add(ep, pair.b, EPOLLIN), 0);
      });
  EXPECT_EQ(first.result, 1);
  EXPECT_EQ(event.data.fd, pair.b);
  EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, pair.b, nullptr), 0);
  EXPECT_EQ(write(pipes[1], "p", 1), 1);
  EXPECT_EXIT(pid, 0);
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

// A set's first members, each added by a thread of its own.
TEST(first_members_at_once) {
  constexpr int kThreads = 4;
  Pair pairs[kThreads];
  for (Pair& pair : pairs) pair = udp_pair();
  int pipes[2];
  OK(pipe(pipes));
  EXPECT_EQ(write(pipes[1], "p", 1), 1);
  for (Pair& pair : pairs) EXPECT_EQ(write(pair.a, "s", 1), 1);
  for (Pair& pair : pairs) EXPECT(readable(pair.b));
  for (int round = 0; round < 200; round++) {
    int ep = OK(epoll_create1(0));
    std::atomic<int> ready = 0;
    auto join = [&](int fd) {
      for (ready++; ready <= kThreads;) sched_yield();
      EXPECT_EQ(add(ep, fd, EPOLLIN), 0);
    };
    std::vector<std::thread> threads;
    for (Pair& pair : pairs) threads.emplace_back(join, pair.b);
    join(pipes[0]);
    for (std::thread& thread : threads) thread.join();
    epoll_event events[2 * kThreads];
    EXPECT_EQ(epoll_wait(ep, events, 2 * kThreads, 0), kThreads + 1);
    EXPECT_EQ(close(ep), 0);
  }
}
