// SPDX-License-Identifier: Apache-2.0
//
// Blocked calls and signals: which calls end with EINTR, which go on, and how much they have done
// by then. Handlers and masks are in handlers.cc.

#include <sys/epoll.h>
#include <sys/select.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// A socket of each kind that a call can block on, with nothing to read.
struct Idle {
  Pair pair = tcp_pair();
  int from = listener();
  int pipes[2];
  char byte = 0;

  Idle() { OK(pipe(pipes)); }
};

void expect_interrupted(Outcome* outcome, const char* name) {
  if (outcome->result == -1 && outcome->error == EINTR) return;
  errno = outcome->error;
  check::fail("signals.cc", __LINE__, name, check::outcome(outcome->result));
}

#define EXPECT_INTERRUPTED(call)                                    \
  do {                                                              \
    Outcome outcome_;                                               \
    interrupt_until_done(&outcome_, SIGUSR1, [&] { return call; }); \
    expect_interrupted(&outcome_, #call);                           \
  } while (0)

// Sends until no more can be sent, and nothing is on its way that would make room.
void fill(int fd, const std::vector<char>& data) {
  OK(set_option(fd, SOL_SOCKET, SO_SNDBUF, 10000));
  do {
    while (send(fd, data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
  } while (events_of(fd, POLLOUT, 60) != 0);
}

int connect_to_nobody(int from, int* fillers) {
  sockaddr_in address = name_of(from);
  for (int i = 0; i < 2; i++) {
    fillers[i] = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    EXPECT_ERR(connect(fillers[i], generic(&address), sizeof address), EINPROGRESS);
  }
  return OK(socket(AF_INET, SOCK_STREAM, 0));
}

}  // namespace

TEST(without_restart) {
  on_signal(SIGUSR1, count_signal);
  Idle idle;
  iovec part = {&idle.byte, 1};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  mmsghdr many = {message, 0};
  EXPECT_INTERRUPTED(read(idle.pair.a, &idle.byte, 1));
  EXPECT_INTERRUPTED(readv(idle.pair.a, &part, 1));
  EXPECT_INTERRUPTED(recv(idle.pair.a, &idle.byte, 1, 0));
  EXPECT_INTERRUPTED(recvmsg(idle.pair.a, &message, 0));
  EXPECT_INTERRUPTED(recvmmsg(idle.pair.a, &many, 1, 0, nullptr));
  EXPECT_INTERRUPTED(accept(idle.from, nullptr, nullptr));
  EXPECT_INTERRUPTED(accept4(idle.from, nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_INTERRUPTED(recv(udp_pair().a, &idle.byte, 1, 0));
  std::vector<char> data(4 << 20);
  OK(set_option(idle.pair.a, SOL_SOCKET, SO_RCVBUF, 10000));
  fill(idle.pair.b, data);
  EXPECT_INTERRUPTED(send(idle.pair.b, data.data(), data.size(), 0));
  EXPECT_INTERRUPTED(write(idle.pair.b, data.data(), data.size()));
  EXPECT(handled >= 10);
  char byte;
  EXPECT_EQ(recv(idle.pair.a, &byte, 1, 0), 1);  // all still works
}

// These end with EINTR whatever the handler's flags say.
TEST(waits_never_restart) {
  Idle idle;
  pollfd mixed[2] = {{idle.pair.a, POLLIN, 0}, {idle.pipes[0], POLLIN, 0}};
  int ep = OK(epoll_create1(0));
  for (auto& entry : mixed) {
    epoll_event event = {EPOLLIN, {.fd = entry.fd}};
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, entry.fd, &event));
  }
  epoll_event event;
  fd_set set;
  timeval limit = {30, 0};
  for (int flags : {0, SA_RESTART}) {
    on_signal(SIGUSR1, count_signal, flags);
    EXPECT_INTERRUPTED(poll(mixed, 1, 30000));
    EXPECT_INTERRUPTED(poll(mixed, 2, -1));
    EXPECT_INTERRUPTED(ppoll(mixed, 2, nullptr, nullptr));
    EXPECT_INTERRUPTED(epoll_wait(ep, &event, 1, 30000));
    EXPECT_INTERRUPTED(epoll_pwait(ep, &event, 1, -1, nullptr));
    for (int fd : {idle.pair.a, idle.pipes[0]}) {
      FD_ZERO(&set);
      FD_SET(idle.pair.a, &set);
      FD_SET(fd, &set);
      EXPECT_INTERRUPTED(select(FD_SETSIZE, &set, nullptr, nullptr, &limit));
    }
  }
}

TEST(with_restart) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  char byte = 0;
  auto pester = [&](Outcome* outcome, pthread_t thread) {
    int before = handled;
    while (handled < before + 5) {
      pthread_kill(thread, SIGUSR1);
      sleep_ms(5);
    }
    EXPECT(!outcome->done);
  };
  Outcome received;
  while_blocked(
      &received, [&] { return recv(idle.pair.a, &byte, 1, 0); },
      [&](pthread_t thread) {
        pester(&received, thread);
        EXPECT_EQ(write(idle.pair.b, "r", 1), 1);
      });
  EXPECT_EQ(received.result, 1);
  EXPECT_EQ(byte, 'r');
  Outcome accepted;
  int client = -1;
  while_blocked(
      &accepted, [&] { return accept(idle.from, nullptr, nullptr); },
      [&](pthread_t thread) {
        pester(&accepted, thread);
        client = connected_to(idle.from);
      });
  EXPECT(accepted.result > 0);
  EXPECT(pair_works({client, static_cast<int>(accepted.result)}));
}

// A time limit on the wait makes a call end with EINTR even so.
TEST(restart_with_time_limit) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  timeval limit = {15, 0};
  for (int fd : {idle.pair.a, idle.from}) {
    OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  }
  EXPECT_INTERRUPTED(recv(idle.pair.a, &idle.byte, 1, 0));
  EXPECT_INTERRUPTED(accept(idle.from, nullptr, nullptr));
}

TEST(partial_counts) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  char bytes[100];
  EXPECT_EQ(write(idle.pair.b, "0123456789", 10), 10);
  Outcome received;
  interrupt_until_done(&received, SIGUSR1,
                       [&] { return recv(idle.pair.a, bytes, sizeof bytes, MSG_WAITALL); });
  EXPECT_EQ(received.result, 10);
  std::vector<char> data(4 << 20);
  OK(set_option(idle.pair.a, SOL_SOCKET, SO_RCVBUF, 100000));
  OK(set_option(idle.pair.b, SOL_SOCKET, SO_SNDBUF, 100000));
  Outcome sent;
  interrupt_until_done(&sent, SIGUSR1,
                       [&] { return send(idle.pair.b, data.data(), data.size(), 0); });
  EXPECT(sent.result > 0 && sent.result < static_cast<long>(data.size()));
  OK(shutdown(idle.pair.b, SHUT_WR));
  long total = 0;
  for (ssize_t n; (n = recv(idle.pair.a, data.data(), data.size(), 0)) > 0;) total += n;
  EXPECT_EQ(total, sent.result);  // exactly what the interrupted call said
}

TEST(connecting) {
  on_signal(SIGUSR1, count_signal);
  int from = listener(0, 0), fillers[2];
  int fd = connect_to_nobody(from, fillers);
  sockaddr_in address = name_of(from);
  EXPECT_INTERRUPTED(connect(fd, generic(&address), sizeof address));
  // The attempt continues behind the program's back.
  OK(fcntl(fd, F_SETFL, O_NONBLOCK));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EALREADY);
}

TEST(timer_in_the_first_thread) {
  on_signal(SIGALRM, count_signal);
  Idle idle;
  alarm_every(20);
  EXPECT_ERR(recv(idle.pair.a, &idle.byte, 1, 0), EINTR);
  EXPECT_ERR(accept(idle.from, nullptr, nullptr), EINTR);
  pollfd mixed[2] = {{idle.pair.a, POLLIN, 0}, {idle.pipes[0], POLLIN, 0}};
  EXPECT_ERR(poll(mixed, 2, -1), EINTR);
  alarm_every(0);
  EXPECT(handled >= 3);
}

TEST(default_action_kills) {
  Idle idle;
  pid_t pid = child([&] { recv(idle.pair.a, &idle.byte, 1, 0); });
  sleep_ms(30);
  kill(pid, SIGTERM);
  int status = wait_for(pid);
  EXPECT(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT(pair_works(idle.pair));
}

TEST(stop_and_continue) {
  Idle idle;
  pid_t pid = child([&] {
    EXPECT_EQ(recv(idle.pair.a, &idle.byte, 1, 0), 1);
    EXPECT_EQ(idle.byte, 'c');
  });
  sleep_ms(30);
  kill(pid, SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT(WIFSTOPPED(status));
  kill(pid, SIGCONT);
  sleep_ms(10);
  EXPECT_EQ(write(idle.pair.b, "c", 1), 1);
  EXPECT_EXIT(pid, 0);
}
