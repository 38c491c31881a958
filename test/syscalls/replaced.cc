// SPDX-License-Identifier: Apache-2.0
//
// poll and select while another thread puts other files at the numbers that they wait for. Linux
// looks a number up again when it wakes; what wakes it is the file that was there at first.

#include <sys/select.h>

#include <utility>

#include "children.h"
#include "loopback.h"

namespace {

// A socket at `number`, another descriptor of it, and one that sends to it. `marker` is ready in a
// way that no idle file is.
struct Numbers {
  Pair pair = udp_pair();
  int number = pair.b, keep = OK(dup(pair.b)), marker;
  int pipes[2];

  Numbers() {
    int ends[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    OK(shutdown(ends[0], SHUT_RDWR));
    marker = ends[0];
    OK(pipe(pipes));
  }
  ~Numbers() {
    for (int fd : {pair.a, number, keep, marker, pipes[0], pipes[1]}) close(fd);
  }
  void wake_socket() { EXPECT_EQ(write(pair.a, "s", 1), 1); }
  void wake_pipe() { EXPECT_EQ(write(pipes[1], "p", 1), 1); }
};

constexpr int kMarked = POLLIN | POLLHUP;

long select_one(int fd, int timeout_ms, fd_set* set) {
  timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  FD_ZERO(set);
  FD_SET(fd, set);
  return select(fd + 1, set, nullptr, nullptr, &timeout);
}

// A select that begins after the close answers EBADF. Then another one gets more time to begin.
template <class Body>
void until_it_was_early_enough(Body selects) {
  for (long pause_ms = 30; pause_ms < 4000; pause_ms *= 2) {
    const auto [result, error] = selects(pause_ms);
    if (result == -1 && error == EBADF) continue;
    EXPECT_EQ(result, 1);
    return;
  }
  EXPECT(!"a select that began before the close");
}

}  // namespace

TEST(replaced_then_a_signal) {
  on_signal(SIGUSR1, count_signal);
  Numbers n;
  Outcome outcome;
  pollfd entry = {n.number, POLLIN, 0};
  while_blocked(
      &outcome, [&] { return poll(&entry, 1, 10000); },
      [&](pthread_t thread) {
        EXPECT_EQ(dup2(n.marker, n.number), n.number);
        while (!outcome.done) {
          pthread_kill(thread, SIGUSR1);
          sleep_ms(10);
        }
      });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(entry.revents, kMarked);
}

TEST(replaced_then_another_is_ready) {
  Numbers n;
  Outcome outcome;
  pollfd set[2] = {{n.number, POLLIN, 0}, {n.pipes[0], POLLIN, 0}};
  while_blocked(
      &outcome, [&] { return poll(set, 2, 10000); },
      [&](pthread_t) {
        EXPECT_EQ(dup2(n.marker, n.number), n.number);
        n.wake_pipe();
      });
  EXPECT_EQ(outcome.result, 2);
  EXPECT_EQ(set[0].revents, kMarked);
  EXPECT_EQ(set[1].revents, POLLIN);
}

TEST(replaced_then_the_old_file_is_ready) {
  Numbers n;
  Outcome outcome;
  pollfd entry = {n.number, POLLIN, 0};
  while_blocked(
      &outcome, [&] { return poll(&entry, 1, 10000); },
      [&](pthread_t) {
        EXPECT_EQ(dup2(n.marker, n.number), n.number);
        n.wake_socket();
      });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(entry.revents, kMarked);
}

TEST(closed_then_another_is_ready) {
  Numbers n;
  Outcome outcome;
  pollfd set[2] = {{n.number, POLLIN, 0}, {n.pipes[0], POLLIN, 0}};
  while_blocked(
      &outcome, [&] { return poll(set, 2, 10000); },
      [&](pthread_t) {
        EXPECT_EQ(close(n.number), 0);
        n.wake_pipe();
      });
  EXPECT_EQ(outcome.result, 2);
  EXPECT_EQ(set[0].revents, POLLNVAL);
  EXPECT_EQ(set[1].revents, POLLIN);
}

// A local number becomes a socket's, or the other way round, and is not ready: the wait goes on.
TEST(replaced_by_an_idle_file) {
  for (bool to_socket : {true, false}) {
    Numbers n;
    Outcome outcome;
    int other = to_socket ? n.pipes[0] : n.number, by = to_socket ? n.keep : n.pipes[0];
    int idle = OK(dup(n.pair.a)), local = OK(dup(n.pipes[0]));
    pollfd set[2] = {{other, POLLIN, 0}, {idle, POLLIN, 0}};
    while_blocked(
        &outcome, [&] { return poll(set, 2, 500); },
        [&](pthread_t) {
          EXPECT_EQ(dup2(by, other), other);
          to_socket ? n.wake_pipe() : n.wake_socket();
        });
    EXPECT_EQ(outcome.result, 0);
    EXPECT_EQ(set[0].revents | set[1].revents, 0);
    for (int fd : {idle, local}) close(fd);
  }
}

TEST(replaced_in_a_select) {
  Numbers n;
  Outcome outcome;
  fd_set set;
  while_blocked(
      &outcome, [&] { return select_one(n.number, 10000, &set); },
      [&](pthread_t) {
        EXPECT_EQ(dup2(n.marker, n.number), n.number);
        n.wake_socket();
      });
  EXPECT_EQ(outcome.result, 1);
  EXPECT(FD_ISSET(n.number, &set));
}

// A number that is closed meanwhile counts as ready.
TEST(closed_in_a_select) {
  until_it_was_early_enough([](long pause_ms) {
    Numbers n;
    Outcome outcome;
    fd_set set;
    while_blocked(
        &outcome, [&] { return select_one(n.number, 10000, &set); },
        [&](pthread_t) {
          EXPECT_EQ(close(n.number), 0);
          n.wake_socket();
        },
        pause_ms);
    EXPECT(outcome.result != 1 || FD_ISSET(n.number, &set));
    return std::pair(outcome.result, outcome.error);
  });
}

TEST(closed_before_a_select) {
  Numbers n;
  fd_set set;
  EXPECT_EQ(close(n.number), 0);
  EXPECT_ERR(select_one(n.number, 0, &set), EBADF);
  FD_ZERO(&set);
  FD_SET(n.number, &set);
  FD_SET(n.keep, &set);
  EXPECT_ERR(select(n.keep + n.number + 1, &set, nullptr, nullptr, nullptr), EBADF);
}
