// SPDX-License-Identifier: Apache-2.0
//
// SIGSTOP and SIGCONT while a process waits. Some calls fail with EINTR then, even without a
// handler (signal(7)): epoll_wait, and calls on sockets with a timeout. All others go on.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

#include "children.h"
#include "loopback.h"

namespace {

constexpr int kLong_ms = 10000, kShort_ms = 1500;

// Stops and continues a child while it waits, after a pause in which it has probably begun to. The
// child's exit status says what its wait did.
template <class Wait>
int stopped_in(Wait wait, long pause_ms) {
  pid_t pid = child([&] { _exit(wait()); });
  sleep_ms(pause_ms);
  int status = 0;
  EXPECT_EQ(kill(pid, SIGSTOP), 0);
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  if (WIFSTOPPED(status)) {
    EXPECT_EQ(kill(pid, SIGCONT), 0);
    status = wait_for(pid);
  }
  EXPECT(WIFEXITED(status));
  return WEXITSTATUS(status);
}

// A child that is stopped before it waits is not interrupted: its wait goes on to the end of its
// time. Then the next one gets more time to begin.
template <class Wait>
void expect_interrupted(Wait wait) {
  int got = 0;
  for (long pause_ms = 60; pause_ms < 2000 && got != EINTR; pause_ms *= 4)
    got = stopped_in(wait, pause_ms);
  EXPECT_EQ(got, EINTR);
}

template <class Call>
int error_of(Call call) {
  errno = 0;
  return call() < 0 ? errno : 0;
}

void set_timeout(int fd, int name) {
  timeval timeout = {kShort_ms / 1000, kShort_ms % 1000 * 1000};
  OK(setsockopt(fd, SOL_SOCKET, name, &timeout, sizeof timeout));
}

}  // namespace

TEST(epoll_of_sockets) {
  Pair pair = udp_pair();
  int ep = OK(epoll_create1(0));
  epoll_event event = {EPOLLIN, {.fd = pair.b}};
  OK(epoll_ctl(ep, EPOLL_CTL_ADD, pair.b, &event));
  expect_interrupted([&] {
    epoll_event got;
    return error_of([&] { return epoll_wait(ep, &got, 1, kShort_ms); });
  });
}

TEST(epoll_of_both_kinds) {
  Pair pair = udp_pair();
  int ep = OK(epoll_create1(0)), counter = OK(eventfd(0, 0));
  for (int fd : {pair.b, counter}) {
    epoll_event event = {EPOLLIN, {.fd = fd}};
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
  }
  sigset_t mask;
  sigemptyset(&mask);
  expect_interrupted([&] {
    epoll_event got;
    return error_of([&] { return epoll_pwait(ep, &got, 1, kShort_ms, &mask); });
  });
}

TEST(receiving_with_a_timeout) {
  Pair pair = udp_pair();
  set_timeout(pair.b, SO_RCVTIMEO);
  char byte;
  expect_interrupted([&] { return error_of([&] { return recv(pair.b, &byte, 1, 0); }); });
}

TEST(accepting_with_a_timeout) {
  int from = listener();
  set_timeout(from, SO_RCVTIMEO);
  expect_interrupted([&] { return error_of([&] { return accept(from, nullptr, nullptr); }); });
}

// These go on, and see what comes afterwards.
TEST(waits_that_go_on) {
  Pair pair = udp_pair();
  auto by_poll = [&] {
    pollfd entry = {pair.b, POLLIN, 0};
    return poll(&entry, 1, kLong_ms) == 1;
  };
  auto by_select = [&] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair.b, &set);
    timeval timeout = {kLong_ms / 1000, 0};
    return select(pair.b + 1, &set, nullptr, nullptr, &timeout) == 1;
  };
  auto by_recv = [&] {
    char byte;
    return recv(pair.b, &byte, 1, MSG_PEEK) == 1;
  };
  auto goes_on = [&](auto wait) {
    int got = stopped_in(
        [&] {
          std::thread late([&] {
            sleep_ms(300);
            EXPECT_EQ(write(pair.a, "x", 1), 1);
          });
          const bool seen = wait();
          late.join();
          char byte;
          return seen && recv(pair.b, &byte, 1, 0) == 1 ? 0 : 1;
        },
        60);
    EXPECT_EQ(got, 0);
  };
  goes_on(by_poll);
  goes_on(by_select);
  goes_on(by_recv);
}
