// SPDX-License-Identifier: Apache-2.0
//
// Descriptor numbers: which one comes next, what dup shares, and that sockets and local files can
// take each other's place.

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) != -1;
}

int open_count(int limit) {
  int count = 0;
  for (int fd = 0; fd < limit; fd++) count += is_open(fd);
  return count;
}

int local_file() {
  return OK(open("/dev/null", O_RDWR));
}
int some_socket() {
  return OK(socket(AF_INET, SOCK_STREAM, 0));
}

bool is_socket(int fd) {
  return option(fd, SOL_SOCKET, SO_TYPE) > 0;
}

}  // namespace

TEST(lowest_number_first) {
  closefrom(3);
  int first = local_file();
  EXPECT_EQ(first, 3);
  int fds[6];
  for (int& fd : fds) fd = some_socket();
  for (int i = 0; i < 6; i++) EXPECT_EQ(fds[i], first + 1 + i);
  close(fds[1]);
  close(fds[3]);
  close(fds[4]);
  EXPECT_EQ(local_file(), fds[1]);
  EXPECT_EQ(some_socket(), fds[3]);
  EXPECT_EQ(dup(fds[0]), fds[4]);
  EXPECT_EQ(some_socket(), fds[5] + 1);
  close(first);
  EXPECT_EQ(some_socket(), first);
}

TEST(nothing_else_is_open) {
  // The device side keeps its own descriptors out of the way.
  int before = open_count(64);
  int fd = some_socket();
  EXPECT_EQ(open_count(64), before + 1);
  close(fd);
  EXPECT_EQ(open_count(64), before);
}

TEST(dups) {
  Pair pair = tcp_pair();
  int copy = OK(dup(pair.a));
  close(pair.a);
  EXPECT(pair_works({copy, pair.b}));
  int high = OK(fcntl(copy, F_DUPFD, 40));
  EXPECT(high >= 40);
  int higher = OK(fcntl(copy, F_DUPFD_CLOEXEC, high + 1));
  EXPECT(higher > high);
  EXPECT_EQ(fcntl(high, F_GETFD), 0);
  EXPECT_EQ(fcntl(higher, F_GETFD), FD_CLOEXEC);
  close(copy);
  close(high);
  EXPECT(pair_works({higher, pair.b}));
  EXPECT_EQ(close(higher), 0);
  char byte;
  EXPECT_EQ(read(pair.b, &byte, 1), 0);  // only the last close ends the connection
  EXPECT_ERR(dup(higher), EBADF);
  EXPECT_ERR(dup(-1), EBADF);
  EXPECT_ERR(fcntl(pair.b, F_DUPFD, -1), EINVAL);
  EXPECT_ERR(fcntl(pair.b, F_DUPFD, 1 << 30), EINVAL);
}

TEST(dup2_in_all_directions) {
  Pair pair = tcp_pair();
  int file = local_file(), victim = some_socket();
  // Onto a local file: the file is gone, and the socket is in its place.
  EXPECT_EQ(dup2(pair.a, file), file);
  EXPECT(pair_works({file, pair.b}));
  EXPECT(pair_works(pair));
  // Onto another socket.
  EXPECT_EQ(dup2(pair.a, victim), victim);
  EXPECT(pair_works({victim, pair.b}));
  // A local file onto a socket.
  int null = local_file();
  EXPECT_EQ(dup2(null, victim), victim);
  EXPECT(!is_socket(victim));
  EXPECT_EQ(write(victim, "into the void", 13), 13);
  EXPECT_ERR(getsockname(victim, nullptr, nullptr), ENOTSOCK);
  EXPECT(pair_works({file, pair.b}));
  // Onto itself, onto a free number, from a bad one.
  EXPECT_EQ(dup2(pair.a, pair.a), pair.a);
  EXPECT(pair_works(pair));
  EXPECT_ERR(dup2(9999, 9999), EBADF);
  EXPECT_ERR(dup2(9999, pair.a), EBADF);
  EXPECT(pair_works(pair));
  EXPECT_EQ(dup2(pair.a, 50), 50);
  EXPECT(pair_works({50, pair.b}));
  EXPECT_ERR(dup2(pair.a, -1), EBADF);
  EXPECT_ERR(dup2(pair.a, 1 << 30), EBADF);
}

TEST(dup2_closes_a_connection) {
  Pair pair = tcp_pair();
  int file = local_file();
  char byte;
  EXPECT_EQ(dup2(file, pair.a), pair.a);
  EXPECT(readable(pair.b));
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
  Pair second = tcp_pair();
  int other = some_socket();
  EXPECT_EQ(dup2(other, second.a), second.a);
  EXPECT(readable(second.b));
  EXPECT_EQ(read(second.b, &byte, 1), 0);
}

TEST(dup3_flags) {
  Pair pair = tcp_pair();
  int file = local_file();
  EXPECT_EQ(dup3(pair.a, file, O_CLOEXEC), file);
  EXPECT_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(dup3(pair.a, file, 0), file);
  EXPECT_EQ(fcntl(file, F_GETFD), 0);
  EXPECT_ERR(dup3(pair.a, pair.a, 0), EINVAL);
  EXPECT_ERR(dup3(pair.a, file, O_NONBLOCK), EINVAL);
  EXPECT_ERR(dup3(9999, file, 0), EBADF);
  EXPECT(pair_works({file, pair.b}));
}

TEST(standard_input_and_output) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    OK(dup2(pair.a, 0));
    OK(dup2(pair.a, 1));
    OK(dup2(pair.a, 2));
    close(pair.a);
    close(pair.b);
    char line[16];
    ssize_t n = OK(read(0, line, sizeof line));
    dprintf(1, "out:%.*s", static_cast<int>(n), line);
    fprintf(stderr, " err");
    _exit(7);
  });
  close(pair.a);
  EXPECT_EQ(write(pair.b, "in", 2), 2);
  EXPECT_EXIT(pid, 7);
  char got[32] = {};
  EXPECT_EQ(recv(pair.b, got, sizeof got - 1, MSG_WAITALL), 10);
  EXPECT_TEXT(got, "out:in err");
}

TEST(close_errors) {
  int fd = some_socket();
  EXPECT_EQ(close(fd), 0);
  EXPECT_ERR(close(fd), EBADF);
  EXPECT_ERR(close(-1), EBADF);
  EXPECT_ERR(close(100000), EBADF);
  char byte;
  EXPECT_ERR(recv(fd, &byte, 1, 0), EBADF);
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &byte, 1), EBADF);
  EXPECT_EQ(local_file(), fd);
  EXPECT_ERR(recv(fd, &byte, 1, 0), ENOTSOCK);
}

TEST(close_ranges) {
  Pair pair = tcp_pair();
  int fds[6];
  for (int i = 0; i < 6; i++) fds[i] = OK(dup2(i % 2 ? local_file() : some_socket(), 40 + i));
  auto first = static_cast<unsigned>(fds[0]);
  EXPECT_EQ(close_range(first, first + 2, 0), 0);
  for (int i = 0; i < 6; i++) EXPECT_EQ(is_open(fds[i]), i > 2);
  EXPECT_EQ(close_range(first, first + 5, CLOSE_RANGE_CLOEXEC), 0);
  for (int i = 3; i < 6; i++) EXPECT_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
  EXPECT(is_socket(fds[4]));
  EXPECT_ERR(close_range(5, 4, 0), EINVAL);
  EXPECT_ERR(close_range(3, 4, 0x40), EINVAL);
  EXPECT(pair_works(pair));
  // To the end of the table: all of ours are closed, and sockets still work.
  EXPECT_EQ(close_range(3, ~0u, 0), 0);
  for (int fd = 3; fd < 64; fd++) EXPECT(!is_open(fd));
  Pair after = tcp_pair();
  EXPECT(pair_works(after));
  EXPECT_EQ(close_range(3, ~0u, CLOSE_RANGE_UNSHARE), 0);
  EXPECT(!is_open(after.a));
  EXPECT(pair_works(tcp_pair()));
}

TEST(closing_everything_by_number) {
  for (int fd = 3; fd < 1024; fd++) close(fd);
  Pair pair = tcp_pair();
  EXPECT_EQ(pair.b, 5);
  EXPECT(pair_works(pair));
  closefrom(3);
  EXPECT(pair_works(tcp_pair()));
}

TEST(descriptor_flags) {
  int fd = some_socket(), copy = OK(dup(fd));
  EXPECT_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(copy, F_GETFD), 0);  // each descriptor has its own
  EXPECT_EQ(fcntl(fd, F_SETFD, 0), 0);
  EXPECT_EQ(fcntl(fd, F_GETFD), 0);
  EXPECT_ERR(fcntl(9999, F_GETFD), EBADF);
  EXPECT_ERR(fcntl(fd, 9999), EINVAL);
  // While these belong to the socket.
  EXPECT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(fcntl(copy, F_GETFL), O_RDWR | O_NONBLOCK);
  pid_t pid = child([&] {
    EXPECT_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
    EXPECT_EQ(fcntl(fd, F_SETFL, O_RDWR), 0);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(fcntl(copy, F_GETFL), O_RDWR);
  EXPECT_EQ(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
  EXPECT_EQ(fcntl(fd, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK);
}

TEST(other_commands) {
  int fd = some_socket();
  EXPECT_EQ(fcntl(fd, F_GETOWN), 0);
  EXPECT_EQ(fcntl(fd, F_SETOWN, getpid()), 0);
  EXPECT_EQ(fcntl(fd, F_GETOWN), getpid());
  EXPECT_EQ(fcntl(fd, F_SETSIG, SIGUSR1), 0);
  EXPECT_EQ(fcntl(fd, F_GETSIG), SIGUSR1);
  f_owner_ex owner = {F_OWNER_PID, getpid()}, back = {};
  EXPECT_EQ(fcntl(fd, F_SETOWN_EX, &owner), 0);
  EXPECT_EQ(fcntl(fd, F_GETOWN_EX, &back), 0);
  EXPECT(back.type == F_OWNER_PID && back.pid == getpid());
  struct flock lock = {F_RDLCK, SEEK_SET, 0, 0, 0};
  check::report("F_SETLK %s", check::outcome(fcntl(fd, F_SETLK, &lock)));
  check::report("F_SETLEASE %s", check::outcome(fcntl(fd, F_SETLEASE, F_RDLCK)));
  check::report("F_NOTIFY %s", check::outcome(fcntl(fd, F_NOTIFY, 1)));
}

TEST(as_many_as_natively) {
  OK(close_range(3, ~0u, 0));
  rlimit limit = {40, 40};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  int count = 0, last = -1;
  for (int fd; (fd = socket(AF_INET, SOCK_DGRAM, 0)) != -1; count++) last = fd;
  EXPECT_EQ(errno, EMFILE);
  EXPECT_EQ(count, 37);
  EXPECT_EQ(last, 39);
  EXPECT_ERR(socket(AF_INET6, SOCK_STREAM, 0), EMFILE);
  EXPECT_ERR(dup(last), EMFILE);
  EXPECT_ERR(fcntl(last, F_DUPFD, 3), EMFILE);
  EXPECT_ERR(fcntl(last, F_DUPFD, 40), EINVAL);
  EXPECT_ERR(dup2(last, 40), EBADF);
  EXPECT_ERR(dup3(last, 40, 0), EBADF);
  EXPECT_ERR(open("/proc/net/dev", O_RDONLY), EMFILE);
  EXPECT_ERR(eventfd(0, 0), EMFILE);
  close(20);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, 0), 20);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
  // The old ones work as before.
  sockaddr_in address = loopback();
  EXPECT_EQ(bind(last, generic(&address), sizeof address), 0);
}

TEST(accept_without_a_free_number) {
  OK(close_range(3, ~0u, 0));
  int from = listener(SOCK_NONBLOCK);
  int client = connected_to(from);
  rlimit limit = {static_cast<rlim_t>(client) + 1, 20000}, before;
  OK(getrlimit(RLIMIT_NOFILE, &before));
  limit.rlim_max = before.rlim_max;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT(readable(from));
  EXPECT_ERR(accept(from, nullptr, nullptr), EMFILE);
  OK(setrlimit(RLIMIT_NOFILE, &before));
  int server = OK(accept(from, nullptr, nullptr));  // the connection has waited
  EXPECT(pair_works({client, server}));
}

TEST(no_number_at_all) {
  int from = listener();
  int client = connected_to(from);
  rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  const rlimit none = {0, limit.rlim_max};
  OK(setrlimit(RLIMIT_NOFILE, &none));
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), EMFILE);
  EXPECT_ERR(accept(from, nullptr, nullptr), EMFILE);
  EXPECT_ERR(dup(client), EMFILE);
  EXPECT_ERR(fcntl(client, F_DUPFD, 0), EINVAL);
  EXPECT_ERR(open("/proc/net/dev", O_RDONLY), EMFILE);
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_EQ(close(OK(accept(from, nullptr, nullptr))), 0);
}

TEST(high_numbers) {
  rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  EXPECT(limit.rlim_cur > 3100);  // otherwise this proves nothing
  Pair pair = tcp_pair();
  EXPECT_EQ(dup2(pair.a, 1500), 1500);
  EXPECT_EQ(fcntl(pair.b, F_DUPFD, 3000), 3000);
  EXPECT(pair_works({1500, 3000}));
  pollfd entries[2] = {{1500, POLLIN, 0}, {3000, POLLIN, 0}};
  EXPECT_EQ(poll(entries, 2, 0), 0);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT_EQ(poll(entries, 2, 5000), 1);
  EXPECT_EQ(entries[1].revents, POLLIN);
  EXPECT_EQ(close_range(1000, 4000, 0), 0);
  EXPECT_ERR(read(3000, entries, 1), EBADF);
}

TEST(many_at_once) {
  std::vector<int> fds;
  for (int i = 0; i < 1200; i++) fds.push_back(OK(socket(AF_INET, SOCK_DGRAM, 0)));
  sockaddr_in address = loopback();
  EXPECT_EQ(bind(fds[1199], generic(&address), sizeof address), 0);
  address = name_of(fds[1199]);
  for (int i = 0; i < 1199; i += 100) {
    EXPECT_EQ(sendto(fds[static_cast<size_t>(i)], "x", 1, 0, generic(&address), sizeof address), 1);
    char byte;
    EXPECT_EQ(recv(fds[1199], &byte, 1, 0), 1);
  }
  for (int fd : fds) EXPECT_EQ(close(fd), 0);
  EXPECT_EQ(some_socket(), fds[0]);
}

// Two threads open and close as fast as they can: a number must never name two files.
TEST(numbers_in_a_race) {
  auto work = [](int seed) {
    for (int i = 0; i < 300; i++) {
      if ((i + seed) % 2) {
        Pair pair = udp_pair();
        EXPECT(pair_works(pair));
        close_pair(pair);
      } else {
        int fd = local_file();
        EXPECT(!is_socket(fd));
        EXPECT_EQ(write(fd, "x", 1), 1);
        EXPECT_EQ(close(fd), 0);
      }
    }
  };
  std::thread one(work, 0), two(work, 1), three(work, 2);
  one.join();
  two.join();
  three.join();
}
