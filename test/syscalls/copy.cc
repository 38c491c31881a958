// SPDX-License-Identifier: Apache-2.0
//
// Data that the kernel moves between descriptors: sendfile, splice, tee, copy_file_range, with
// files and pipes on one side and sockets on the other.

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include <algorithm>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// A local file that holds the pattern.
int file_of(size_t size) {
  int fd = OK(memfd_create("data", MFD_CLOEXEC));
  auto data = pattern(size);
  for (size_t at = 0; at < size;) {
    at += static_cast<size_t>(OK(write(fd, data.data() + at, size - at)));
  }
  OK(lseek(fd, 0, SEEK_SET));
  return fd;
}

bool receives_pattern(int fd, size_t size, size_t from = 0) {
  std::vector<char> got(size);
  return recv(fd, got.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size) &&
         is_pattern(got.data(), size, from);
}

struct Pipe {
  int in, out;
  Pipe() {
    int fds[2];
    OK(pipe(fds));
    out = fds[0];
    in = fds[1];
  }
};

}  // namespace

TEST(sendfile_small) {
  Pair pair = tcp_pair();
  int file = file_of(10000);
  off_t offset = 1000;
  EXPECT_EQ(sendfile(pair.a, file, &offset, 500), 500);
  EXPECT_EQ(offset, 1500);
  EXPECT_EQ(lseek(file, 0, SEEK_CUR), 0);  // with a pointer the file's own position stays
  EXPECT(receives_pattern(pair.b, 500, 1000));
  EXPECT_EQ(sendfile(pair.a, file, nullptr, 300), 300);
  EXPECT_EQ(lseek(file, 0, SEEK_CUR), 300);
  EXPECT(receives_pattern(pair.b, 300));
  EXPECT_EQ(sendfile(pair.a, file, nullptr, 100000), 9700);
  EXPECT_EQ(sendfile(pair.a, file, nullptr, 100000), 0);  // at the end of the file
  EXPECT(receives_pattern(pair.b, 9700, 300));
  offset = 20000;
  EXPECT_EQ(sendfile(pair.a, file, &offset, 10), 0);
  EXPECT_EQ(offset, 20000);
  EXPECT_EQ(sendfile(pair.a, file, &offset, 0), 0);
}

TEST(sendfile_big) {
  size_t size = (3 << 20) + 12345;
  int file = file_of(size);
  Pair pair = tcp_pair();
  std::thread sender([&] {
    off_t offset = 0;
    while (offset < static_cast<off_t>(size)) {
      ssize_t n = OK(sendfile(pair.a, file, &offset, size));
      EXPECT(n > 0);
    }
    EXPECT_EQ(offset, size);
  });
  EXPECT(receives_pattern(pair.b, size));
  sender.join();
}

TEST(sendfile_without_waiting) {
  size_t size = 16 << 20;
  int file = file_of(size);
  Pair pair = tcp_pair(SOCK_NONBLOCK);
  off_t offset = 0;
  ssize_t n = 0;
  while ((n = sendfile(pair.a, file, &offset, size)) > 0)
    EXPECT(offset <= static_cast<off_t>(size));
  EXPECT(n == -1 && errno == EAGAIN);
  EXPECT(offset > 0 && offset < static_cast<off_t>(size));
  OK(shutdown(pair.a, SHUT_WR));
  OK(fcntl(pair.b, F_SETFL, O_RDWR));
  size_t total = 0;
  std::vector<char> got(1 << 20);
  for (ssize_t m; (m = read(pair.b, got.data(), got.size())) > 0;) {
    EXPECT(is_pattern(got.data(), static_cast<size_t>(m), total));
    total += static_cast<size_t>(m);
  }
  EXPECT_EQ(total, offset);  // the offset says exactly how much is on its way
}

TEST(sendfile_errors) {
  Pair pair = tcp_pair();
  int file = file_of(100);
  off_t offset = -1;
  EXPECT_ERR(sendfile(pair.a, file, &offset, 10), EINVAL);
  EXPECT_ERR(sendfile(pair.a, 9999, nullptr, 10), EBADF);
  EXPECT_ERR(sendfile(9999, file, nullptr, 10), EBADF);
  EXPECT_ERR(sendfile(pair.a, pair.b, nullptr, 10), EINVAL);
  EXPECT_ERR(sendfile(file, pair.b, nullptr, 10), EINVAL);
  offset = 0;
  EXPECT_ERR(sendfile(pair.a, pair.b, &offset, 10), ESPIPE);
  int read_only = OK(open("/dev/null", O_RDONLY));
  EXPECT_ERR(sendfile(read_only, file, nullptr, 10), EBADF);
  on_signal(SIGPIPE, count_signal);
  OK(shutdown(pair.a, SHUT_WR));
  EXPECT_ERR(sendfile(pair.a, file, nullptr, 10), EPIPE);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(lseek(file, 0, SEEK_CUR), 0);
  int fresh = OK(socket(AF_INET, SOCK_STREAM, 0));
  on_signal(SIGPIPE, SIG_IGN);
  EXPECT_ERR(sendfile(fresh, file, nullptr, 10), EPIPE);
}

TEST(sendfile_of_datagrams) {
  Pair pair = udp_pair();
  int file = file_of(2000);
  EXPECT_EQ(sendfile(pair.a, file, nullptr, 1000), 1000);
  char bytes[2000];
  EXPECT_EQ(recv(pair.b, bytes, sizeof bytes, 0), 1000);
  EXPECT(is_pattern(bytes, 1000));
}

TEST(sendfile_of_the_network_s_files) {
  // From a file that the kernel of the network serves, to a socket and to a local file.
  Pair pair = tcp_pair();
  int file = OK(open("/proc/net/protocols", O_RDONLY));
  char expected[4096], got[4096];
  ssize_t size = OK(pread(file, expected, 1000, 0));
  check::report("from /proc to a socket: %s",
                check::outcome(sendfile(pair.a, file, nullptr, 1000)));
  if (recv(pair.b, got, static_cast<size_t>(size), MSG_WAITALL | MSG_DONTWAIT) == size) {
    EXPECT(memcmp(expected, got, static_cast<size_t>(size)) == 0);
  }
  int local = OK(memfd_create("copy", 0));
  off_t offset = 0;
  check::report("from /proc to a file: %s", check::outcome(sendfile(local, file, &offset, 1000)));
  if (offset > 0) {
    EXPECT_EQ(pread(local, got, 1000, 0), offset);
    EXPECT(memcmp(expected, got, static_cast<size_t>(offset)) == 0);
  }
}

TEST(splice_to_a_socket) {
  Pair pair = tcp_pair();
  Pipe pipes;
  int file = file_of(50000);
  loff_t offset = 5000;
  EXPECT_EQ(splice(file, &offset, pipes.in, nullptr, 20000, 0), 20000);
  EXPECT_EQ(offset, 25000);
  EXPECT_EQ(splice(pipes.out, nullptr, pair.a, nullptr, 8000, SPLICE_F_MORE), 8000);
  EXPECT_EQ(splice(pipes.out, nullptr, pair.a, nullptr, 50000, 0), 12000);
  EXPECT(receives_pattern(pair.b, 20000, 5000));
  EXPECT_ERR(splice(pipes.out, nullptr, pair.a, nullptr, 1, SPLICE_F_NONBLOCK), EAGAIN);
  close(pipes.in);
  EXPECT_EQ(splice(pipes.out, nullptr, pair.a, nullptr, 1, 0), 0);
}

TEST(splice_from_a_socket) {
  Pair pair = tcp_pair();
  Pipe pipes;
  auto data = pattern(30000);
  EXPECT_EQ(write(pair.a, data.data(), data.size()), data.size());
  int file = OK(memfd_create("sink", 0));
  size_t total = 0;
  while (total < data.size()) {
    ssize_t n = OK(splice(pair.b, nullptr, pipes.in, nullptr, data.size() - total, 0));
    EXPECT(n > 0);
    for (ssize_t left = n; left > 0;) {
      left -= OK(splice(pipes.out, nullptr, file, nullptr, static_cast<size_t>(left), 0));
    }
    total += static_cast<size_t>(n);
  }
  std::vector<char> got(data.size());
  EXPECT_EQ(pread(file, got.data(), got.size(), 0), got.size());
  EXPECT(is_pattern(got.data(), got.size()));
  // SPLICE_F_NONBLOCK affects the pipe; for the socket only O_NONBLOCK counts.
  OK(fcntl(pair.b, F_SETFL, O_NONBLOCK));
  EXPECT_ERR(splice(pair.b, nullptr, pipes.in, nullptr, 1, SPLICE_F_NONBLOCK), EAGAIN);
  OK(fcntl(pair.b, F_SETFL, 0));
  OK(shutdown(pair.a, SHUT_WR));
  EXPECT_EQ(splice(pair.b, nullptr, pipes.in, nullptr, 1, 0), 0);
}

TEST(proxy_between_sockets) {
  Pair client = tcp_pair(), server = tcp_pair();
  Pipe pipes;
  auto data = pattern(1 << 20);
  std::thread sender([&] {
    for (size_t at = 0; at < data.size();) {
      at += static_cast<size_t>(OK(write(client.a, data.data() + at, data.size() - at)));
    }
    OK(shutdown(client.a, SHUT_WR));
  });
  std::thread proxy([&] {
    for (;;) {
      ssize_t n = OK(splice(client.b, nullptr, pipes.in, nullptr, 65536, SPLICE_F_MOVE));
      if (n == 0) break;
      while (n > 0) {
        n -= OK(splice(pipes.out, nullptr, server.a, nullptr, static_cast<size_t>(n), 0));
      }
    }
    OK(shutdown(server.a, SHUT_WR));
  });
  EXPECT(receives_pattern(server.b, data.size()));
  char byte;
  EXPECT_EQ(read(server.b, &byte, 1), 0);
  sender.join();
  proxy.join();
}

TEST(splice_blocks_and_wakes) {
  Pair pair = tcp_pair();
  Pipe pipes;
  Outcome in, out;
  while_blocked(
      &in, [&] { return splice(pair.b, nullptr, pipes.in, nullptr, 100, 0); },
      [&](pthread_t) {
        EXPECT(!in.done);
        EXPECT_EQ(write(pair.a, "hello", 5), 5);
      });
  EXPECT_EQ(in.result, 5);
  char text[8] = {};
  EXPECT_EQ(read(pipes.out, text, 8), 5);
  EXPECT_TEXT(text, "hello");
  while_blocked(
      &out, [&] { return splice(pipes.out, nullptr, pair.b, nullptr, 100, 0); },
      [&](pthread_t) {
        EXPECT(!out.done);
        EXPECT_EQ(write(pipes.in, "world", 5), 5);
      });
  EXPECT_EQ(out.result, 5);
  EXPECT_EQ(read(pair.a, text, 8), 5);
  EXPECT_TEXT(text, "world");
}

TEST(splice_errors) {
  Pair pair = tcp_pair();
  Pipe pipes;
  int file = file_of(100);
  loff_t offset = 0;
  EXPECT_ERR(splice(pair.a, nullptr, file, nullptr, 10, 0), EINVAL);  // no pipe at all
  EXPECT_ERR(splice(pair.a, nullptr, pair.b, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(splice(pair.a, &offset, pipes.in, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(splice(pipes.out, &offset, pair.a, nullptr, 10, 0), ESPIPE);
  EXPECT_ERR(splice(pipes.out, nullptr, pair.a, &offset, 10, 0), EINVAL);
  EXPECT_ERR(splice(9999, nullptr, pipes.in, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(pipes.out, nullptr, 9999, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(pipes.out, nullptr, pair.a, nullptr, 10, 0x100), EINVAL);
  EXPECT_EQ(splice(9999, nullptr, 9999, nullptr, 0, 0), 0);
  EXPECT_ERR(splice(pipes.in, nullptr, pair.a, nullptr, 10, 0), EBADF);  // the wrong end
  EXPECT_ERR(splice(listener(), nullptr, pipes.in, nullptr, 10, 0), ENOTCONN);
  EXPECT_ERR(tee(pair.a, pipes.in, 10, 0), EINVAL);
  EXPECT_ERR(tee(pipes.out, pair.a, 10, 0), EINVAL);
  iovec part = piece("x", 1);
  EXPECT_ERR(vmsplice(pair.a, &part, 1, 0), EBADF);
  EXPECT_ERR(copy_file_range(file, nullptr, pair.a, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(copy_file_range(pair.a, nullptr, file, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(copy_file_range(9999, nullptr, pair.a, nullptr, 10, 0), EBADF);
}

TEST(local_copies_are_local) {
  Pipe one, two;
  EXPECT_EQ(write(one.in, "copies", 6), 6);
  EXPECT_EQ(tee(one.out, two.in, 10, 0), 6);
  char text[8] = {};
  EXPECT_EQ(read(one.out, text, 8), 6);
  EXPECT_EQ(read(two.out, text, 8), 6);
  EXPECT_TEXT(text, "copies");
  int from = file_of(5000), to = OK(memfd_create("to", 0));
  EXPECT_EQ(copy_file_range(from, nullptr, to, nullptr, 5000, 0), 5000);
  EXPECT_EQ(sendfile(to, from, nullptr, 10), 0);
  iovec part = piece("gift", 4);
  EXPECT_EQ(vmsplice(one.in, &part, 1, 0), 4);
  Pair pair = tcp_pair();
  EXPECT_EQ(splice(one.out, nullptr, pair.a, nullptr, 4, 0), 4);
  EXPECT_EQ(recv(pair.b, text, 4, MSG_WAITALL), 4);
  EXPECT(memcmp(text, "gift", 4) == 0);
}
