// SPDX-License-Identifier: Apache-2.0
//
// Epoll sets that have several descriptors, or are in several processes, before their first socket
// is added: each is one set for all of them.
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
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

// Not by mino: see differences.toml.
TEST(passed_by_a_message) {
  int ep = OK(epoll_create1(0)), s = ready_socket(), pair[2];
  EXPECT_EQ(add(ep, s, EPOLLIN), 0);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  EXPECT(send_fds(pair[0], {ep}));
  std::vector<int> got = receive_fds(pair[1]);
  EXPECT_EQ(got.size(), 1u);
  if (got.empty()) return;
  EXPECT_EQ(only_event(got[0], s, 1000), EPOLLIN);
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
