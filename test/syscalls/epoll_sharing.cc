// SPDX-License-Identifier: Apache-2.0
//
// Epoll sets that have several descriptors, or are in several processes, before or after their
// first socket is added: each is one set for all of them.
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <thread>

#include "children.h"
#include "epoll_sets.h"
#include "passed_fds.h"

namespace {

constexpr int kInheritedSet = 60, kInheritedSocket = 61;

int ready_socket() {
  int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  OK(bind(s, reinterpret_cast<sockaddr*>(&address), bytes));
  OK(getsockname(s, reinterpret_cast<sockaddr*>(&address), &bytes));
  EXPECT_EQ(sendto(s, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), bytes), 1);
  EXPECT(readable(s));
  return s;
}

// Both numbers are one set, whichever of them a file is added through.
void expect_one_set(int a, int b) {
  int first = ready_socket(), second = ready_socket(), pipes[2];
  OK(pipe(pipes));
  EXPECT_EQ(only_event(a, first), 0);
  EXPECT_EQ(add(b, first, EPOLLIN), 0);
  EXPECT_EQ(only_event(a, first, 5000), EPOLLIN);
  EXPECT_EQ(only_event(b, first, 5000), EPOLLIN);
  EXPECT_ERR(add(a, first, EPOLLIN), EEXIST);
  EXPECT_EQ(epoll_ctl(a, EPOLL_CTL_DEL, first, nullptr), 0);
  EXPECT_EQ(only_event(b, first), 0);
  EXPECT_EQ(add(a, second, EPOLLIN), 0);
  EXPECT_EQ(only_event(b, second, 5000), EPOLLIN);
  EXPECT_EQ(epoll_ctl(b, EPOLL_CTL_DEL, second, nullptr), 0);
  // Local files, too, and without waiting.
  EXPECT_EQ(add(b, pipes[0], EPOLLIN), 0);
  EXPECT_EQ(write(pipes[1], "p", 1), 1);
  EXPECT_EQ(only_event(a, pipes[0]), EPOLLIN);
  EXPECT_EQ(only_event(b, pipes[0]), EPOLLIN);
  EXPECT_EQ(epoll_ctl(a, EPOLL_CTL_DEL, pipes[0], nullptr), 0);
  EXPECT_EQ(only_event(b, pipes[0]), 0);
  for (int fd : {first, second, pipes[0], pipes[1]}) close(fd);
}

}  // namespace

TEST(dup) {
  int ep = OK(epoll_create1(0));
  expect_one_set(ep, OK(dup(ep)));
}

TEST(dup2) {
  int ep = OK(epoll_create1(0)), to = OK(open("/dev/null", O_RDONLY));
  EXPECT_EQ(dup2(ep, to), to);
  expect_one_set(to, ep);
}

TEST(dup3) {
  int ep = OK(epoll_create1(0));
  EXPECT_EQ(dup3(ep, 50, O_CLOEXEC), 50);
  EXPECT_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
  expect_one_set(ep, 50);
}

TEST(fcntl_dupfd) {
  int ep = OK(epoll_create1(0));
  int copy = OK(fcntl(ep, F_DUPFD, 30)), another = OK(fcntl(copy, F_DUPFD_CLOEXEC, 40));
  EXPECT(copy >= 30 && another >= 40);
  EXPECT_EQ(fcntl(copy, F_GETFD), 0);
  EXPECT_EQ(fcntl(another, F_GETFD), FD_CLOEXEC);
  expect_one_set(ep, another);
  expect_one_set(copy, ep);
}

TEST(closed_original) {
  int ep = OK(epoll_create1(0)), copy = OK(dup(ep)), s = ready_socket();
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  EXPECT_EQ(close(ep), 0);
  EXPECT_ERR(add(ep, s, EPOLLIN), EBADF);
  EXPECT_EQ(only_event(copy, s, 5000), EPOLLIN);
}

TEST(local_members_first) {
  int pipes[2];
  OK(pipe(pipes));
  int ep = OK(epoll_create1(0));
  EXPECT_EQ(add(ep, pipes[0], EPOLLIN), 0);
  int copy = OK(dup(ep)), s = ready_socket();
  EXPECT_EQ(add(copy, s, EPOLLIN), 0);
  EXPECT_EQ(write(pipes[1], "p", 1), 1);
  epoll_event events[4];
  EXPECT_EQ(epoll_wait(ep, events, 4, 0), 2);
  EXPECT_EQ(epoll_wait(copy, events, 4, 0), 2);
}

TEST(bad_dups) {
  int ep = OK(epoll_create1(0));
  EXPECT_EQ(dup2(ep, ep), ep);
  EXPECT_ERR(dup3(ep, ep, 0), EINVAL);
  EXPECT_ERR(dup2(ep, -1), EBADF);
  EXPECT_ERR(fcntl(ep, F_DUPFD, -1), EINVAL);
  int s = ready_socket();
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN);
}

TEST(fork_child_adds) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  pid_t pid = child([&] { EXPECT_EQ(add(ep, s, EPOLLIN), 0); });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN);
  EXPECT_ERR(add(ep, s, EPOLLIN), EEXIST);
}

TEST(fork_parent_adds) {
  int ep = OK(epoll_create1(0)), s = ready_socket(), pipes[2];
  OK(pipe(pipes));
  pid_t pid = child([&] {
    char byte;
    EXPECT_EQ(read(pipes[0], &byte, 1), 1);
    EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN);
    EXPECT_ERR(add(ep, s, EPOLLIN), EEXIST);
  });
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  EXPECT_EQ(write(pipes[1], "x", 1), 1);
  EXPECT_EXIT(pid, 0);
}

TEST(fork_child_waits) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  pid_t pid = child([&] { EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN); });
  sleep_ms(100);
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  EXPECT_EXIT(pid, 0);
}

// A program that has inherited the set adds a socket.
HELPER(add) {
  return add(kInheritedSet, kInheritedSocket, EPOLLIN) == 0 ? 0 : 1;
}

TEST(exec_adds) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  EXPECT_EQ(dup2(ep, kInheritedSet), kInheritedSet);
  EXPECT_EQ(dup2(s, kInheritedSocket), kInheritedSocket);
  pid_t pid = child([&] {
    execl("/proc/self/exe", "epoll_sharing", "@add", nullptr);
    _exit(2);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(only_event(ep, kInheritedSocket, 5000), EPOLLIN);
  EXPECT_ERR(add(ep, kInheritedSocket, EPOLLIN), EEXIST);
}

TEST(spawned_program_adds) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  EXPECT_EQ(dup2(ep, kInheritedSet), kInheritedSet);
  EXPECT_EQ(dup2(s, kInheritedSocket), kInheritedSocket);
  char name[] = "epoll_sharing", option[] = "@add";
  char* words[] = {name, option, nullptr};
  pid_t pid;
  EXPECT_EQ(posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, words, environ), 0);
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(only_event(kInheritedSet, kInheritedSocket, 5000), EPOLLIN);
}

namespace {

// The descriptor of the set as another process would receive it.
int passed(int ep) {
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  EXPECT(send_fds(pair[0], {ep}));
  std::vector<int> got = receive_fds(pair[1]);
  for (int end : pair) close(end);
  EXPECT_EQ(got.size(), 1u);
  return got.empty() ? -1 : got[0];
}

int fetched(pid_t pid, int fd) {
  int pidfd = OK(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  int got = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
  close(pidfd);
  return got;
}

}  // namespace

TEST(passed_by_a_message) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  int got = passed(ep);
  EXPECT_EQ(only_event(got, s, 5000), EPOLLIN);
  EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, s, nullptr), 0);
  expect_one_set(ep, got);
  expect_one_set(passed(got), ep);
}

TEST(passed_before_its_first_socket) {
  int ep = OK(epoll_create1(0));
  int got = passed(ep);
  expect_one_set(ep, got);
  expect_one_set(got, ep);
  int both = passed(OK(dup(got)));
  expect_one_set(ep, both);
}

TEST(passed_to_another_process) {
  int ep = OK(epoll_create1(0)), s = ready_socket(), pair[2], pipes[2];
  OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  OK(pipe(pipes));
  pid_t pid = child([&] {
    close(ep);
    std::vector<int> got = receive_fds(pair[1]);
    EXPECT_EQ(got.size(), 1u);
    EXPECT_EQ(only_event(got[0], s, 5000), EPOLLIN);
    EXPECT_ERR(add(got[0], s, EPOLLIN), EEXIST);
    EXPECT_EQ(epoll_ctl(got[0], EPOLL_CTL_DEL, s, nullptr), 0);
    EXPECT_EQ(add(got[0], pipes[0], EPOLLIN), 0);
  });
  EXPECT(send_fds(pair[0], {ep}));
  sleep_ms(50);
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(only_event(ep, s), 0);
  EXPECT_EQ(write(pipes[1], "p", 1), 1);
  EXPECT_EQ(only_event(ep, pipes[0], 5000), EPOLLIN);
}

TEST(passed_by_a_process_that_has_ended) {
  int s = ready_socket(), pair[2];
  OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  pid_t pid = child([&] {
    int ep = OK(epoll_create1(0));
    EXPECT_EQ(add(ep, s, EPOLLIN), 0);
    EXPECT(send_fds(pair[0], {ep}));
  });
  EXPECT_EXIT(pid, 0);
  sleep_ms(300);
  std::vector<int> got = receive_fds(pair[1]);
  EXPECT_EQ(got.size(), 1u);
  EXPECT_EQ(only_event(got[0], s, 5000), EPOLLIN);
}

TEST(passed_in_one_of_many_messages) {
  int ep = OK(epoll_create1(0)), s = ready_socket(), pair[2];
  OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  Letter letter;
  letter.header.msg_control = letter.control;
  letter.header.msg_controllen = CMSG_SPACE(sizeof ep);
  cmsghdr* cmsg = CMSG_FIRSTHDR(&letter.header);
  cmsg->cmsg_level = SOL_SOCKET;
  cmsg->cmsg_type = SCM_RIGHTS;
  cmsg->cmsg_len = CMSG_LEN(sizeof ep);
  memcpy(CMSG_DATA(cmsg), &ep, sizeof ep);
  mmsghdr messages[1] = {{letter.header, 0}};
  EXPECT_EQ(sendmmsg(pair[0], messages, 1, 0), 1);
  std::vector<int> got = receive_fds(pair[1]);
  EXPECT_EQ(got.size(), 1u);
  EXPECT_EQ(add(got[0], s, EPOLLIN), 0);
  EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN);
}

TEST(fetched_from_itself) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  int got = OK(fetched(getpid(), ep));
  EXPECT_EQ(only_event(got, s, 5000), EPOLLIN);
  EXPECT_EQ(epoll_ctl(got, EPOLL_CTL_DEL, s, nullptr), 0);
  expect_one_set(ep, got);
  expect_one_set(OK(fetched(getpid(), got)), ep);
}

TEST(fetched_from_another_process) {
  for (bool before_first_socket : {false, true}) {
    int s = ready_socket(), another = ready_socket(), to[2], from[2];
    OK(pipe(to));
    OK(pipe(from));
    pid_t pid = child([&] {
      int ep = OK(epoll_create1(0));
      if (!before_first_socket) EXPECT_EQ(add(ep, s, EPOLLIN), 0);
      EXPECT_EQ(write(from[1], &ep, sizeof ep), static_cast<ssize_t>(sizeof ep));
      char byte;
      EXPECT_EQ(read(to[0], &byte, 1), 1);
      if (before_first_socket) EXPECT_EQ(add(ep, s, EPOLLIN), 0);
      epoll_event events[4];
      EXPECT_EQ(epoll_wait(ep, events, 4, 5000), 2);
      EXPECT_ERR(add(ep, another, EPOLLIN), EEXIST);
      EXPECT_EQ(write(from[1], "x", 1), 1);
      EXPECT_EQ(read(to[0], &byte, 1), 1);
    });
    int theirs = -1;
    EXPECT_EQ(read(from[0], &theirs, sizeof theirs), static_cast<ssize_t>(sizeof theirs));
    int got = OK(fetched(pid, theirs));
    EXPECT_EQ(add(got, another, EPOLLIN), 0);
    EXPECT_EQ(write(to[1], "x", 1), 1);
    char byte;
    EXPECT_EQ(read(from[0], &byte, 1), 1);
    epoll_event events[4];
    EXPECT_EQ(epoll_wait(got, events, 4, 5000), 2);
    EXPECT_EQ(write(to[1], "x", 1), 1);
    EXPECT_EXIT(pid, 0);
    for (int fd : {s, another, got, to[0], to[1], from[0], from[1]}) close(fd);
  }
}

TEST(table_of_its_own) {
  int ep = OK(epoll_create1(0)), s = ready_socket();
  std::thread other([&] {
    OK(unshare(CLONE_FILES));
    EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  });
  other.join();
  EXPECT_EQ(only_event(ep, s, 5000), EPOLLIN);
}
