// SPDX-License-Identifier: Apache-2.0
//
// epoll sets that mix a socket with local descriptors, and short forms of the calls on them. Used
// by epoll.cc and epoll_sets.cc.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "loopback.h"

inline int add(int ep, int fd, uint32_t events, int tag = -1) {
  epoll_event event = {events, {.u64 = static_cast<uint64_t>(tag == -1 ? fd : tag)}};
  return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

inline int modify(int ep, int fd, uint32_t events) {
  epoll_event event = {events, {.u64 = static_cast<uint64_t>(fd)}};
  return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event);
}

// The events of the one descriptor that is ready; 0 if none, -1 if several are.
inline int only_event(int ep, int fd, int timeout_ms = 0) {
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
