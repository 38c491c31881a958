// SPDX-License-Identifier: Apache-2.0
//
// Programs that lower their RLIMIT_NOFILE, as sandboxes do, and go on waiting for the descriptors
// that they have. The limit is about new descriptors of the program, and about the count of poll.

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>

#include <thread>
#include <vector>

#include "children.h"
#include "loopback.h"

namespace {

void limit_to(rlim_t numbers, bool hard) {
  rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = numbers;
  if (hard) limit.rlim_max = numbers;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
}

// A socket and a pipe, and a thread that makes them ready later.
struct Mixed {
  Pair sockets = udp_pair();
  int pipes[2];
  int ep = OK(epoll_create1(0));

  Mixed() {
    OK(pipe(pipes));
    for (int fd : {sockets.b, pipes[0]}) {
      epoll_event event = {EPOLLIN, {.fd = fd}};
      OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    }
  }
  // What became ready: 1 the socket, 2 the pipe; -errno.
  int by_poll(int timeout_ms) {
    pollfd set[2] = {{sockets.b, POLLIN, 0}, {pipes[0], POLLIN, 0}};
    if (poll(set, 2, timeout_ms) < 0) return -errno;
    return (set[0].revents == POLLIN) + 2 * (set[1].revents == POLLIN);
  }
  int by_select(int timeout_ms) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(sockets.b, &set);
    FD_SET(pipes[0], &set);
    timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    if (select(64, &set, nullptr, nullptr, &timeout) < 0) return -errno;
    return FD_ISSET(sockets.b, &set) + 2 * FD_ISSET(pipes[0], &set);
  }
  int by_epoll(int timeout_ms) {
    epoll_event events[2];
    int n = epoll_wait(ep, events, 2, timeout_ms), ready = 0;
    for (int i = 0; i < n; i++) ready |= events[i].data.fd == pipes[0] ? 2 : 1;
    return n < 0 ? -errno : ready;
  }
};

using Wait = int (Mixed::*)(int timeout_ms);
constexpr Wait kWaits[] = {&Mixed::by_poll, &Mixed::by_select, &Mixed::by_epoll};

// A process that waits for the pipe, then for the socket, once it has been limited.
template <class Limit>
void expect_events(Wait wait, Limit limit) {
  Mixed m;
  EXPECT_EXIT(child([&] {
                limit(m);
                pid_t parent = getpid();
                std::thread waker([&] {
                  sleep_ms(60);
                  EXPECT_EQ(write(m.pipes[1], "p", 1), 1);
                });
                EXPECT_EQ((m.*wait)(10000), 2);
                waker.join();
                char byte;
                EXPECT_EQ(read(m.pipes[0], &byte, 1), 1);
                EXPECT_EQ((m.*wait)(0), 0);
                EXPECT_EQ((m.*wait)(30), 0);
                EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
                EXPECT_EQ((m.*wait)(10000), 1);
                EXPECT_EQ(getpid(), parent);
              }),
              0);
  for (int fd : {m.sockets.a, m.sockets.b, m.pipes[0], m.pipes[1], m.ep}) close(fd);
}

}  // namespace

TEST(soft_limit) {
  for (Wait wait : kWaits) expect_events(wait, [](Mixed&) { limit_to(2, false); });
}

TEST(hard_limit) {
  for (Wait wait : kWaits) expect_events(wait, [](Mixed&) { limit_to(2, true); });
}

TEST(no_descriptors_at_all) {
  for (Wait wait : {&Mixed::by_select, &Mixed::by_epoll})
    expect_events(wait, [](Mixed&) { limit_to(0, true); });
}

TEST(after_a_wait) {
  for (Wait wait : kWaits) {
    expect_events(wait, [wait](Mixed& m) {
      EXPECT_EQ((m.*wait)(20), 0);
      limit_to(2, true);
    });
  }
}

// As the children of dhcpcd do it.
TEST(without_privileges) {
  for (Wait wait : kWaits) {
    expect_events(wait, [](Mixed&) {
      OK(setresgid(65534, 65534, 65534));
      OK(setresuid(65534, 65534, 65534));
      limit_to(2, true);
    });
  }
}

TEST(in_a_later_thread) {
  for (bool privileged : {true, false}) {
    for (Wait wait : kWaits) {
      Mixed m;
      EXPECT_EXIT(child([&] {
                    if (!privileged) OK(setresuid(65534, 65534, 65534));
                    limit_to(2, true);
                    Outcome outcome;
                    while_blocked(
                        &outcome, [&] { return (m.*wait)(10000); },
                        [&](pthread_t) { EXPECT_EQ(write(m.pipes[1], "p", 1), 1); });
                    EXPECT_EQ(outcome.result, 2);
                    EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
                    EXPECT_EQ((m.*wait)(10000), 3);
                  }),
                  0);
      for (int fd : {m.sockets.a, m.sockets.b, m.pipes[0], m.pipes[1], m.ep}) close(fd);
    }
  }
}

namespace {

void expect_a_child_that_waits(Mixed& m) {
  EXPECT_EXIT(child([&] {
                EXPECT_EQ(m.by_poll(30), 0);
                EXPECT_EQ(write(m.sockets.a, "s", 1), 1);
                EXPECT_EQ(m.by_poll(10000), 1);
                EXPECT_EQ(write(m.pipes[1], "p", 1), 1);
                EXPECT_EQ(m.by_select(10000) & 1, 1);
              }),
              0);
}

}  // namespace

TEST(a_child_of_a_limited_process) {
  Mixed m;
  EXPECT_EXIT(child([&] {
                limit_to(2, false);
                expect_a_child_that_waits(m);
              }),
              0);
}

// Not under mino: see differences.toml.
TEST(a_child_under_a_hard_limit) {
  Mixed m;
  EXPECT_EXIT(child([&] {
                OK(setresuid(65534, 65534, 65534));
                limit_to(2, true);
                expect_a_child_that_waits(m);
              }),
              0);
}

TEST(count_of_poll) {
  Mixed m;
  pollfd set[3] = {{m.sockets.b, POLLIN, 0}, {m.pipes[0], POLLIN, 0}, {-1, 0, 0}};
  EXPECT_EXIT(child([&] {
                limit_to(2, false);
                EXPECT_EQ(poll(set, 2, 0), 0);
                EXPECT_ERR(poll(set, 3, 0), EINVAL);
                EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, 0), EMFILE);
                limit_to(3, false);
                EXPECT_EQ(poll(set, 3, 0), 0);
              }),
              0);
}

// Many threads wait for the first time, each on sockets and a pipe, while children are made.
TEST(limits_stay_what_they_are) {
  constexpr rlim_t kLimit = 250;
  constexpr int kRounds = 10, kThreads = 16;
  const auto limit = [] {
    rlimit now{};
    return getrlimit(RLIMIT_NOFILE, &now) == 0 ? now.rlim_cur : 0;
  };
  EXPECT_EXIT(child([&] {
                Mixed m;
                limit_to(kLimit, false);
                for (int round = 0; round < kRounds; round++) {
                  std::vector<std::thread> threads;
                  for (int i = 0; i < kThreads; i++)
                    threads.emplace_back([&] { EXPECT_EQ(m.by_poll(30), 0); });
                  for (int i = 0; i < 3; i++)
                    EXPECT_EXIT(child([&] { EXPECT_EQ(limit(), kLimit); }), 0);
                  for (std::thread& thread : threads) thread.join();
                  EXPECT_EQ(limit(), kLimit);
                }
              }),
              0);
}
