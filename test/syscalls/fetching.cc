// SPDX-License-Identifier: Apache-2.0
//
// pidfd_getfd: descriptors of network sockets taken from other processes, which may be children,
// parents, strangers or the process itself.

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <string>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 does not say so itself
}

#include "children.h"
#include "loopback.h"

namespace {

int fetch(pid_t pid, int number) {
  int process = OK(pidfd_open(pid, 0));
  int fd = pidfd_getfd(process, number, 0);
  int error = errno;
  close(process);
  errno = error;
  return fd;
}

bool same_file(int one, int other) {
  struct stat a, b;
  OK(fstat(one, &a));
  OK(fstat(other, &b));
  return a.st_ino == b.st_ino && a.st_mode == b.st_mode;
}

// A process that says when it is ready, with a number, and stays until the test has closed its end
// of the channel.
struct Other {
  int channel = -1;
  pid_t pid = -1;
  int number = -1;

  template <class Begin>
  explicit Other(Begin begin) {
    int ends[2];
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    pid = child([&] {
      close(ends[0]);
      stay(ends[1], begin());
    });
    close(ends[1]);
    channel = ends[0];
    EXPECT_EQ(read(channel, &number, sizeof number), sizeof number);
  }
  static void stay(int channel, int number) {
    EXPECT_EQ(write(channel, &number, sizeof number), sizeof number);
    char byte;
    EXPECT_EQ(read(channel, &byte, 1), 0);
  }
  void end() {
    close(channel);
    EXPECT_EXIT(pid, 0);
  }
};

}  // namespace

// Listens, and sends the number over the channel in argv[2]. With a third word it does so in a
// process whose parent is not here.
HELPER(listen) {
  int channel = atoi(argv[2]);
  if (argc > 3) {
    if (OK(fork()) != 0) return 0;
    OK(setsid());
    pid_t self = getpid();
    EXPECT_EQ(write(channel, &self, sizeof self), sizeof self);
  }
  Other::stay(channel, listener());
  return check::failures ? 1 : 0;
}

TEST(of_a_child) {
  Pair pair = tcp_pair();
  int kept = pair.b;
  Other other([&] {
    Pair own = tcp_pair();  // at numbers that this process does not have
    EXPECT(pair_works(own));
    close(own.a);
    return dup(kept);
  });
  close(pair.b);
  int fd = fetch(other.pid, other.number);
  EXPECT(fd >= 0);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT(pair_works({pair.a, fd}));
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  OK(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
  int again = fetch(other.pid, other.number);  // one open file
  EXPECT_EQ(fcntl(again, F_GETFL), O_RDWR | O_NONBLOCK);
  EXPECT(same_file(fd, again));
  close(again);
  other.end();
  EXPECT(pair_works({pair.a, fd}));  // the last descriptor of it
  close(fd);
  char byte;
  EXPECT(readable(pair.a));
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
}

// A socket made after the fork, at a number that means something else here.
TEST(made_by_a_child) {
  Other other([] { return listener(); });
  Pair pair = tcp_pair();
  int from = OK(fetch(other.pid, other.number));
  int client = connected_to(from);
  int server = OK(accept(from, nullptr, nullptr));
  EXPECT(pair_works({client, server}));
  EXPECT(pair_works(pair));
  other.end();
  int second = connected_to(from);
  EXPECT(pair_works({second, OK(accept(from, nullptr, nullptr))}));
}

TEST(of_another_program) {
  for (bool orphan : {false, true}) {
    int ends[2];
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    pid_t pid = child([&] {
      Pair before = tcp_pair();  // its session is older than the program
      EXPECT(pair_works(before));
      std::string channel = std::to_string(ends[1]);
      char* argv[] = {const_cast<char*>("p"), const_cast<char*>("@listen"), channel.data(),
                      orphan ? const_cast<char*>("orphan") : nullptr, nullptr};
      close(ends[0]);
      execve("/proc/self/exe", argv, environ);
    });
    close(ends[1]);
    pid_t holder = pid;
    int number = -1;
    if (orphan) {
      EXPECT_EXIT(pid, 0);
      EXPECT_EQ(read(ends[0], &holder, sizeof holder), sizeof holder);
    }
    EXPECT_EQ(read(ends[0], &number, sizeof number), sizeof number);
    int from = OK(fetch(holder, number));
    int client = connected_to(from);
    EXPECT(pair_works({client, OK(accept(from, nullptr, nullptr))}));
    close(ends[0]);
    if (!orphan) EXPECT_EXIT(pid, 0);
  }
}

TEST(of_the_parent) {
  Pair pair = tcp_pair();
  const pid_t above = getpid();
  pid_t pid = child([&] {
    close(pair.a);
    close(pair.b);
    int fd = fetch(above, pair.b);
    echo_once(fd);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(of_itself) {
  Pair pair = tcp_pair();
  int fd = fetch(getpid(), pair.b);
  EXPECT(fd >= 0);
  EXPECT(fd != pair.b);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(pair.b, F_GETFD), 0);
  EXPECT(same_file(fd, pair.b));
  close(pair.b);
  EXPECT(pair_works({pair.a, fd}));
  close(fd);
  char byte;
  EXPECT(readable(pair.a));
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
}

// The first thing that this process does with the network.
TEST(first_of_all) {
  int ends[2];
  OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
  pid_t taker = child([&] {
    int where[2];
    EXPECT_EQ(read(ends[0], where, sizeof where), sizeof where);
    int from = OK(fetch(where[0], where[1]));
    EXPECT_EQ(option(from, SOL_SOCKET, SO_ACCEPTCONN), 1);
  });
  int where[2] = {getpid(), listener()};
  EXPECT_EQ(write(ends[1], where, sizeof where), sizeof where);
  EXPECT_EXIT(taker, 0);
}

// The last descriptor is really the last one: nothing on the way keeps the file.
TEST(closed_at_once) {
  for (int i = 0; i < 20; i++) {
    int from = listener(0, 8, own_port());
    sockaddr_in name = name_of(from);
    int fd = fetch(getpid(), from);
    close(from);
    close(fd);
    int same = OK(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(bind(same, generic(&name), sizeof name), 0);
    close(same);
  }
}

// No process is kept waiting, or told a number that does not belong to it.
TEST(of_a_program_that_pretends) {
  for (bool answers : {true, false}) {
    Other other([&] {
      // The form of a socket in mino: a file, and a connection over which to ask for it.
      int ends[2];
      OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
      const timeval mark = {0x6d696e6f, 0};
      OK(setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &mark, sizeof mark));
      int sealed = OK(memfd_create("mino:1", MFD_ALLOW_SEALING));
      OK(fcntl(sealed, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
      std::thread([=] {
        uint32_t message[64] = {};  // abi/message.h
        if (!answers) {
          while (send(ends[0], message, sizeof message, MSG_DONTWAIT) > 0) {
          }
          return;
        }
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        iovec part = {message, sizeof message};
        msghdr header = {};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        if (recvmsg(ends[1], &header, 0) != sizeof message) return;
        int back = 0;
        memcpy(&back, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof back);
        message[1] = 17;           // Parcel …
        message[4] = 0xffff'ffff;  // … {0, errno}
        EXPECT_EQ(write(back, message, sizeof message), sizeof message);
      }).detach();
      sleep_ms(200);
      return sealed;
    });
    int fd = fetch(other.pid, other.number);
    EXPECT(fd == -1 || fd > other.channel);
    other.end();
  }
}

// A thread with a descriptor table of its own: a process means the table of its leader.
TEST(into_another_table) {
  Pair pair = tcp_pair();
  std::thread([&] {
    OK(unshare(CLONE_FILES));
    close(pair.b);
    Pair own = tcp_pair();
    int fd = fetch(getpid(), pair.b);
    EXPECT(pair_works({pair.a, fd}));
    EXPECT(pair_works(own));
    EXPECT_ERR(fetch(getpid(), fd), EBADF);
  }).join();
  EXPECT(pair_works(pair));
}

TEST(not_there) {
  Other other([] {
    int fd = listener();
    close(fd);
    return fd;
  });
  EXPECT_ERR(fetch(other.pid, other.number), EBADF);
  EXPECT_ERR(fetch(other.pid, 999999), EBADF);
  EXPECT_ERR(fetch(other.pid, -1), EBADF);
  EXPECT_ERR(fetch(getpid(), 987), EBADF);
  other.end();
}

TEST(bad_arguments) {
  Pair pair = tcp_pair();
  int self = OK(pidfd_open(getpid(), 0));
  EXPECT_ERR(pidfd_getfd(self, pair.a, 1), EINVAL);
  EXPECT_ERR(pidfd_getfd(pair.a, pair.b, 0), EBADF);
  EXPECT_ERR(pidfd_getfd(0, pair.b, 0), EBADF);
  EXPECT_ERR(pidfd_getfd(-1, pair.b, 0), EBADF);
  pid_t pid = child([] {});
  int dead = OK(pidfd_open(pid, 0));
  EXPECT_EXIT(pid, 0);
  EXPECT_ERR(pidfd_getfd(dead, pair.b, 0), ESRCH);
}

// Not even with a descriptor of the same file.
TEST(not_permitted) {
  Pair pair = tcp_pair();
  const pid_t above = getpid();
  pid_t pid = child([&] {
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    EXPECT_ERR(fetch(above, pair.a), EPERM);
    EXPECT_ERR(fetch(above, 999999), EPERM);
    echo_once(pair.b);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(of_another_user) {
  Other other([] {
    int fd = listener();
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    OK(prctl(PR_SET_DUMPABLE, 1));
    return fd;
  });
  int from = OK(fetch(other.pid, other.number));
  int client = connected_to(from);
  EXPECT(pair_works({client, OK(accept(from, nullptr, nullptr))}));
  other.end();
}

TEST(local_files) {
  int ends[2];
  OK(pipe(ends));
  int sealed = OK(memfd_create("empty", MFD_ALLOW_SEALING));
  OK(fcntl(sealed, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  OK(lseek(sealed, 7, SEEK_SET));
  Pair pair = tcp_pair();
  const pid_t above = getpid();
  pid_t pid = child([&] {
    int fd = fetch(above, ends[1]);
    EXPECT_EQ(write(fd, "x", 1), 1);
    fd = fetch(above, sealed);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 7);
    char byte;
    EXPECT_EQ(read(fd, &byte, 1), 0);
  });
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EXIT(pid, 0);
  EXPECT(pair_works(pair));
}

TEST(files_of_the_device) {
  Other other([] { return OK(open("/proc/sys/net/ipv4/ip_default_ttl", O_RDONLY)); });
  int fd = fetch(other.pid, other.number);
  char text[16];
  EXPECT(read(fd, text, sizeof text) > 0);
  EXPECT_EQ(read(fd, text, sizeof text), 0);
  fd = fetch(other.pid, other.number);
  EXPECT_EQ(read(fd, text, sizeof text), 0);  // where the first one has left the position
  other.end();
}

TEST(last_numbers) {
  Other other([] { return listener(); });
  int process = OK(pidfd_open(other.pid, 0));
  int free = OK(dup(0));
  close(free);
  rlimit limit = {static_cast<rlim_t>(free) + 1, 1000};
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_EQ(pidfd_getfd(process, other.number, 0), free);
  EXPECT_EQ(option(free, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_ERR(pidfd_getfd(process, other.number, 0), EMFILE);
  rlimit now;
  OK(getrlimit(RLIMIT_NOFILE, &now));
  EXPECT_EQ(now.rlim_cur, limit.rlim_cur);
  EXPECT_EQ(now.rlim_max, limit.rlim_max);
  other.end();
}

// Several processes fetch from one at once, and each finds its own.
TEST(many) {
  constexpr int kMany = 8, kFirst = 50;
  Other other([&] {
    for (int i = 0; i < kMany; i++) {
      int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
      OK(set_option(fd, SOL_SOCKET, SO_RCVBUF, 4096 * (i + 1)));
      OK(dup2(fd, kFirst + i));
    }
    return kFirst;
  });
  pid_t takers[4];
  for (pid_t& taker : takers) {
    taker = child([&] {
      for (int i = 0; i < 5 * kMany; i++) {
        int fd = fetch(other.pid, other.number + i % kMany);
        EXPECT_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 2 * 4096 * (i % kMany + 1));
        close(fd);
      }
    });
  }
  for (pid_t taker : takers) EXPECT_EXIT(taker, 0);
  other.end();
}
