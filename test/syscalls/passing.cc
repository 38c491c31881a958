// SPDX-License-Identifier: Apache-2.0
//
// Network sockets sent through AF_UNIX sockets (SCM_RIGHTS): to oneself, to a child, to another
// program, mixed with local descriptors.

#include <sched.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <string>

#include "children.h"
#include "loopback.h"
#include "memory.h"
#include "passed_fds.h"

namespace {

Pair unix_pair(int type = SOCK_STREAM) {
  int fds[2];
  OK(socketpair(AF_UNIX, type, 0, fds));
  return {fds[0], fds[1]};
}

}  // namespace

// Receives one descriptor through argv[2] and echoes on it.
HELPER(receive) {
  auto fds = receive_fds(atoi(argv[2]));
  EXPECT_EQ(fds.size(), 1);
  echo_once(fds.at(0));
  EXPECT_EQ(option(fds[0], SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT(pair_works(tcp_pair()));
  return check::failures ? 1 : 0;
}

// Connects to the AF_UNIX name in argv[2] and sends back a listener of its own.
HELPER(serve) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  strcpy(name.sun_path, argv[2]);
  int channel = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(connect(channel, generic(&name), sizeof name));
  EXPECT(send_fds(channel, {listener()}));
  return check::failures ? 1 : 0;
}

TEST(to_oneself) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  auto fds = receive_fds(channel.b);
  EXPECT_EQ(fds.size(), 1);
  EXPECT(fds.at(0) != pair.a);
  EXPECT(pair_works({fds[0], pair.b}));
  EXPECT(pair_works(pair));
  EXPECT_EQ(fcntl(fds[0], F_GETFD), 0);
  EXPECT_EQ(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFL), O_RDWR | O_NONBLOCK);  // one socket
  struct stat one, two;
  EXPECT_EQ(fstat(fds[0], &one), 0);
  EXPECT_EQ(fstat(pair.a, &two), 0);
  EXPECT_EQ(one.st_ino, two.st_ino);
  close(pair.a);
  EXPECT_EQ(close(fds[0]), 0);
  char byte;
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
}

TEST(closed_while_on_its_way) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  EXPECT_EQ(close(pair.a), 0);
  char byte;
  EXPECT_ERR(recv(pair.b, &byte, 1, MSG_DONTWAIT), EAGAIN);  // it lives in the message
  EXPECT_EQ(write(pair.b, "early", 5), 5);
  auto fds = receive_fds(channel.b);
  char text[8] = {};
  EXPECT_EQ(read(fds.at(0), text, 8), 5);
  EXPECT_TEXT(text, "early");
  EXPECT(pair_works({fds[0], pair.b}));
}

TEST(to_a_child) {
  Pair channel = unix_pair();
  pid_t pid = child([&] {
    auto fds = receive_fds(channel.b);  // made after the fork: it can only come this way
    EXPECT_EQ(fds.size(), 1);
    echo_once(fds.at(0));
    echo_once(fds.at(0));
    auto back = tcp_pair();
    EXPECT(send_fds(channel.b, {back.a}));
    echo_once(back.b);
  });
  Pair pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.b}));
  EXPECT_EQ(close(pair.b), 0);
  EXPECT(echoes(pair.a));
  EXPECT(echoes(pair.a));
  auto fds = receive_fds(channel.a);
  EXPECT(echoes(fds.at(0)));
  EXPECT_EXIT(pid, 0);
  char byte;
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
}

TEST(to_another_program) {
  Pair channel = unix_pair();
  for (bool empty : {false, true}) {
    pid_t pid = child([&] {
      std::string fd = std::to_string(channel.b);
      char* argv[] = {const_cast<char*>("p"), const_cast<char*>("@receive"), fd.data(), nullptr};
      char* none[] = {nullptr};
      execve("/proc/self/exe", argv, empty ? none : environ);
    });
    Pair pair = tcp_pair();
    EXPECT(send_fds(channel.a, {pair.b}));
    close(pair.b);
    EXPECT(echoes(pair.a));
    EXPECT_EXIT(pid, 0);
  }
}

TEST(from_another_program) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  snprintf(name.sun_path, sizeof name.sun_path, "%s/s", check::scratch());
  int meeting = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(meeting, generic(&name), sizeof name));
  OK(listen(meeting, 1));
  pid_t pid = child([&] { execl("/proc/self/exe", "p", "@serve", name.sun_path, nullptr); });
  int channel = OK(accept(meeting, nullptr, nullptr));
  auto fds = receive_fds(channel);
  EXPECT_EXIT(pid, 0);
  // Its maker has ended, so the listener is ours alone.
  int client = connected_to(fds.at(0));
  int server = OK(accept(fds[0], nullptr, nullptr));
  EXPECT(pair_works({client, server}));
}

TEST(mixed) {
  for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    Pair channel = unix_pair(type), pair = tcp_pair(), udp = udp_pair();
    int pipes[2];
    OK(pipe(pipes));
    EXPECT(send_fds(channel.a, {pair.a, pipes[0], udp.a, pipes[1], pair.b, pair.a}));
    auto fds = receive_fds(channel.b);
    EXPECT_EQ(fds.size(), 6);
    fds.resize(6, -1);
    EXPECT(pair_works({fds[0], fds[4]}));
    EXPECT(pair_works({fds[5], pair.b}));
    EXPECT(pair_works({fds[2], udp.b}));
    char byte = 0;
    EXPECT_EQ(write(fds[3], "p", 1), 1);
    EXPECT_EQ(read(pipes[0], &byte, 1), 1);
    EXPECT_EQ(write(pipes[1], "q", 1), 1);
    EXPECT_EQ(read(fds[1], &byte, 1), 1);
    for (int fd : fds) EXPECT_EQ(close(fd), 0);
    EXPECT(pair_works(pair));
  }
}

TEST(close_on_exec_flag) {
  Pair channel = unix_pair(), pair = tcp_pair();
  int pipes[2];
  OK(pipe(pipes));
  EXPECT(send_fds(channel.a, {pair.a, pipes[0]}));
  int flags = 0;
  auto fds = receive_fds(channel.b, MSG_CMSG_CLOEXEC, 16, &flags);
  EXPECT_EQ(flags, MSG_CMSG_CLOEXEC);
  EXPECT_EQ(fds.size(), 2);
  for (int fd : fds) EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT(pair_works({fds.at(0), pair.b}));
}

TEST(peeked) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  auto first = receive_fds(channel.b, MSG_PEEK), second = receive_fds(channel.b);
  EXPECT_EQ(first.size(), 1);
  EXPECT_EQ(second.size(), 1);
  EXPECT(first.at(0) != second.at(0));
  EXPECT(pair_works({first[0], pair.b}));
  EXPECT(pair_works({second.at(0), pair.b}));
}

TEST(too_little_room) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a, pair.b}));
  int flags = 0, next = OK(dup(0)), after = OK(dup(0));
  close(next);
  close(after);
  auto fds = receive_fds(channel.b, 0, 1, &flags);
  EXPECT_EQ(flags, MSG_CTRUNC);
  EXPECT_EQ(fds.size(), 1);
  EXPECT_EQ(fds.at(0), next);
  EXPECT(pair_works({fds[0], pair.b}));
  EXPECT_EQ(dup(0), after);  // the second was not left open somewhere
}

TEST(never_received) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  close(pair.a);
  close(channel.a);
  EXPECT_EQ(close(channel.b), 0);
  char byte;
  EXPECT(readable(pair.b));
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
  Pair ignored = unix_pair(), second = tcp_pair();
  EXPECT(send_fds(ignored.a, {second.a}));
  close(second.a);
  EXPECT_EQ(read(ignored.b, &byte, 1), 1);  // without room for control data: thrown away
  EXPECT(readable(second.b));
  EXPECT_EQ(read(second.b, &byte, 1), 0);
}

TEST(never_received_by_many) {
  std::vector<int> left;
  for (int round = 0; round < 20; round++) {
    Pair channel = unix_pair(SOCK_DGRAM);
    for (int i = 0; i < 5; i++) {
      Pair pair = tcp_pair();
      EXPECT(send_fds(channel.a, {pair.a, pair.a}));
      close(pair.a);
      left.push_back(pair.b);
    }
    close(channel.a);
    close(channel.b);
  }
  char byte;
  for (int fd : left) {
    EXPECT(readable(fd));
    EXPECT_EQ(read(fd, &byte, 1), 0);
    close(fd);
  }
}

TEST(long_on_its_way) {
  Pair channel = unix_pair(), pair = tcp_pair(), pair_of_child = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  close(pair.a);
  pid_t pid = child([&] { EXPECT(send_fds(channel.a, {pair_of_child.a})); });
  EXPECT_EXIT(pid, 0);  // its sender is no more
  close(pair_of_child.a);
  close(channel.a);
  sleep(3);
  char byte;
  EXPECT_ERR(recv(pair.b, &byte, 1, MSG_DONTWAIT), EAGAIN);
  auto first = receive_fds(channel.b), second = receive_fds(channel.b);
  EXPECT(pair_works({first.at(0), pair.b}));
  EXPECT(pair_works({second.at(0), pair_of_child.b}));
  // Once received, each is closed with its last descriptor, at once.
  close(first[0]);
  EXPECT_EQ(recv(pair.b, &byte, 1, 0), 0);
  int again = listener(0, 8, own_port());
  sockaddr_in name = name_of(again);
  Pair other = unix_pair();
  EXPECT(send_fds(other.a, {again}));
  close(again);
  again = receive_fds(other.b).at(0);
  close(again);
  int same = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(bind(same, generic(&name), sizeof name), 0);
}

TEST(refused_by_a_full_queue) {
  Pair channel = unix_pair(SOCK_DGRAM), pair = tcp_pair();
  OK(fcntl(channel.a, F_SETFL, O_NONBLOCK));
  while (write(channel.a, "x", 1) == 1) {
  }
  for (int i = 0; i < 1500; i++) {
    if (send_fds(channel.a, {pair.a}) || errno != EAGAIN) {
      check::fail("passing.cc", __LINE__, "a full queue", check::error_name(errno));
      break;
    }
  }
  close(pair.a);
  char byte;
  EXPECT(readable(pair.b));
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
}

TEST(peeked_and_left) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(send_fds(channel.a, {pair.a}));
  close(pair.a);
  for (int i = 0; i < 3; i++) {
    auto fds = receive_fds(channel.b, MSG_PEEK);
    EXPECT(pair_works({fds.at(0), pair.b}));
    close(fds[0]);
  }
  char byte;
  EXPECT_ERR(recv(pair.b, &byte, 1, MSG_DONTWAIT), EAGAIN);  // it is still in the queue
  close(channel.b);
  EXPECT(readable(pair.b));
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
}

TEST(bad_descriptors) {
  Pair channel = unix_pair(), pair = tcp_pair();
  EXPECT(!send_fds(channel.a, {9999}));
  EXPECT_EQ(errno, EBADF);
  EXPECT(!send_fds(channel.a, {pair.a, -1}));
  EXPECT_EQ(errno, EBADF);
  char byte;
  EXPECT_ERR(recv(channel.b, &byte, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT(pair_works(pair));
}

// Sender and receiver share one processor, on which the receiver runs before sendmsg has returned.
TEST(closed_when_the_last_has_closed_it) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  OK(sched_setaffinity(0, sizeof one, &one));
  Pair channel = unix_pair(), answers = unix_pair();
  const pid_t receiver = child([&] {
    close(channel.a);
    close(answers.a);
    for (std::vector<int> fds; fds = receive_fds(channel.b), !fds.empty();) {
      for (const int fd : fds) close(fd);
      EXPECT_EQ(write(answers.b, "c", 1), 1);
    }
  });
  int in_use = 0;
  for (int i = 0; i < 200; i++) {
    const int fd = listener(0, 8, own_port());
    sockaddr_in name = name_of(fd);
    EXPECT(send_fds(channel.a, {fd}));
    close(fd);
    char byte;
    EXPECT_EQ(read(answers.a, &byte, 1), 1);
    const int again = OK(socket(AF_INET, SOCK_STREAM, 0));
    in_use += bind(again, generic(&name), sizeof name) != 0;
    close(again);
  }
  EXPECT_EQ(in_use, 0);
  close(channel.a);
  EXPECT_EXIT(receiver, 0);
}
