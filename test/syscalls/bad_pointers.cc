// SPDX-License-Identifier: Apache-2.0
//
// Every pointer argument of every call, bad. The answer is EFAULT where Linux says so, and nothing
// may be lost or half done that Linux would have kept.
//
// The calls go through syscall(), because libc reads some arguments itself.

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

char buffer[64];
sockaddr_in address;
socklen_t length = sizeof address;
iovec good_part = {buffer, sizeof buffer};

// A msghdr that is correct except for what the caller breaks.
msghdr header() {
  msghdr message = {};
  message.msg_iov = &good_part;
  message.msg_iovlen = 1;
  return message;
}

}  // namespace

#define EACH_BAD(pointer) for (void* pointer : bad_pointers())

TEST(naming) {
  int from = listener(SOCK_NONBLOCK);
  Pair pair = tcp_pair(), datagrams = udp_pair();
  int fresh = OK(socket(AF_INET, SOCK_STREAM, 0));
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_bind, fresh, bad, sizeof address), EFAULT);
    EXPECT_ERR(syscall(SYS_connect, fresh, bad, sizeof address), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockname, pair.a, bad, &length), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockname, pair.a, &address, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_getpeername, pair.a, bad, &length), EFAULT);
    EXPECT_ERR(syscall(SYS_getpeername, pair.a, &address, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_accept, from, bad, &length), EAGAIN);  // nobody there: not touched
    EXPECT_ERR(syscall(SYS_socketpair, AF_INET, SOCK_STREAM, 0, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_socketpair, 99, SOCK_STREAM, 0, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_sendto, datagrams.a, buffer, 4, 0, bad, sizeof address), EFAULT);
    socklen_t none = 0;
    EXPECT_EQ(syscall(SYS_getsockname, pair.a, bad, &none), 0);  // no room, so not touched
    EXPECT_EQ(none, sizeof address);
  }
  EXPECT_ERR(syscall(SYS_bind, fresh, nullptr, sizeof address), EFAULT);
  EXPECT_ERR(syscall(SYS_getsockname, pair.a, nullptr, nullptr), EFAULT);
  EXPECT(pair_works(pair));
  EXPECT(pair_works(datagrams));
}

TEST(accepting) {
  int from = listener(SOCK_NONBLOCK);
  int next_fd = OK(dup(from));
  close(next_fd);
  EACH_BAD(bad) {
    for (bool bad_length : {false, true}) {
      int client = connected_to(from);
      EXPECT(readable(from));
      if (bad_length) {
        EXPECT_ERR(syscall(SYS_accept4, from, &address, bad, 0), EFAULT);
      } else {
        length = sizeof address;
        EXPECT_ERR(syscall(SYS_accept4, from, bad, &length, 0), EFAULT);
      }
      // The connection was taken from the queue and is closed; the descriptor is free again.
      EXPECT_ERR(accept(from, nullptr, nullptr), EAGAIN);
      EXPECT(readable(client));
      EXPECT_EQ(recv(client, buffer, 1, 0), 0);
      close(client);
    }
  }
  int client = connected_to(from);
  EXPECT_EQ(client, next_fd);
  EXPECT(readable(from));
  EXPECT_ERR(syscall(SYS_accept4, from, &address, nullptr, 0), EFAULT);
}

TEST(sending) {
  Pair pair = tcp_pair(), datagrams = udp_pair();
  for (int fd : {pair.a, datagrams.a}) {
    EACH_BAD(bad) {
      iovec bad_part = {bad, 32};
      EXPECT_ERR(syscall(SYS_write, fd, bad, 32), EFAULT);
      EXPECT_ERR(syscall(SYS_sendto, fd, bad, 32, 0, nullptr, 0), EFAULT);
      EXPECT_ERR(syscall(SYS_writev, fd, bad, 1), EFAULT);
      EXPECT_ERR(syscall(SYS_writev, fd, &bad_part, 1), EFAULT);
      EXPECT_ERR(syscall(SYS_pwritev2, fd, &bad_part, 1, -1L, -1L, 0), EFAULT);
      EXPECT_ERR(syscall(SYS_sendmsg, fd, bad, 0), EFAULT);
      msghdr message = header();
      message.msg_iov = &bad_part;
      EXPECT_ERR(syscall(SYS_sendmsg, fd, &message, 0), EFAULT);
      message.msg_iov = static_cast<iovec*>(bad);
      EXPECT_ERR(syscall(SYS_sendmsg, fd, &message, 0), EFAULT);
      message = header();
      message.msg_control = bad;
      message.msg_controllen = 64;
      EXPECT_ERR(syscall(SYS_sendmsg, fd, &message, 0), EFAULT);
      message = header();
      message.msg_name = bad;
      message.msg_namelen = sizeof address;
      EXPECT_ERR(syscall(SYS_sendmsg, fd, &message, 0), EFAULT);
      long nothing = syscall(SYS_sendto, pair.a, bad, 0, 0, nullptr, 0);
      EXPECT_EQ(nothing, is_outside(bad) ? -1 : 0);
    }
  }
  EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);  // nothing of all that was sent
  EXPECT_ERR(recv(datagrams.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT(pair_works(pair));
  EXPECT(pair_works(datagrams));
}

TEST(receiving_keeps_stream_data) {
  Pair pair = tcp_pair();
  EXPECT_EQ(write(pair.a, "precious", 8), 8);
  EXPECT(readable(pair.b));
  EACH_BAD(bad) {
    iovec bad_part = {bad, 32};
    msghdr message = header();
    message.msg_iov = &bad_part;
    EXPECT_ERR(syscall(SYS_read, pair.b, bad, 32), EFAULT);
    EXPECT_ERR(syscall(SYS_recvfrom, pair.b, bad, 32, 0, nullptr, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_recvfrom, pair.b, bad, 32, MSG_PEEK, nullptr, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_readv, pair.b, bad, 1), EFAULT);
    EXPECT_ERR(syscall(SYS_readv, pair.b, &bad_part, 1), EFAULT);
    EXPECT_ERR(syscall(SYS_recvmsg, pair.b, bad, 0), EFAULT);
    EXPECT_ERR(syscall(SYS_recvmsg, pair.b, &message, 0), EFAULT);
    message.msg_iov = static_cast<iovec*>(bad);
    EXPECT_ERR(syscall(SYS_recvmsg, pair.b, &message, 0), EFAULT);
  }
  EXPECT_EQ(read(pair.b, buffer, sizeof buffer), 8);
  EXPECT(memcmp(buffer, "precious", 8) == 0);
}

TEST(receiving_loses_datagrams) {
  Pair pair = udp_pair();
  auto send_one = [&] {
    EXPECT_EQ(write(pair.a, "0123456789", 10), 10);
    EXPECT(readable(pair.b));
  };
  EACH_BAD(bad) {
    send_one();
    EXPECT_ERR(syscall(SYS_recvfrom, pair.b, bad, 32, 0, nullptr, nullptr), EFAULT);
    EXPECT_EQ(recv(pair.b, buffer, 1, MSG_DONTWAIT), is_outside(bad) ? 1 : -1);
    send_one();
    msghdr message = header();
    message.msg_name = bad;
    message.msg_namelen = sizeof address;
    EXPECT_ERR(syscall(SYS_recvmsg, pair.b, &message, 0), EFAULT);
    EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
    send_one();
    length = sizeof address;
    EXPECT_ERR(syscall(SYS_recvfrom, pair.b, buffer, 32, 0, bad, &length), EFAULT);
    EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
    send_one();
    EXPECT_ERR(syscall(SYS_recvfrom, pair.b, buffer, 32, 0, &address, bad), EFAULT);
    EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
    send_one();
    EXPECT_EQ(syscall(SYS_recvfrom, pair.b, bad, 0, 0, nullptr, nullptr), is_outside(bad) ? -1 : 0);
    EXPECT_EQ(recv(pair.b, buffer, 1, MSG_DONTWAIT), is_outside(bad) ? 1 : -1);
  }
}

TEST(bad_control_room) {
  Pair pair = udp_pair();
  EXPECT_EQ(set_option(pair.b, IPPROTO_IP, IP_PKTINFO, 1), 0);
  EACH_BAD(bad) {
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(readable(pair.b));
    msghdr message = header();
    message.msg_control = bad;
    message.msg_controllen = 128;
    // The data arrives; the control data does not, and nobody is told.
    long n = syscall(SYS_recvmsg, pair.b, &message, 0);
    check::report("%s, flags %#x, control length %zu", check::outcome(n), message.msg_flags,
                  static_cast<size_t>(message.msg_controllen));
    EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
  }
}

// The usable part ends in the middle of the buffer.
TEST(half_a_buffer) {
  Guarded page(16);
  Pair pair = tcp_pair(), datagrams = udp_pair();
  EXPECT_ERR(write(datagrams.a, page.tail(100), 200), EFAULT);
  EXPECT_ERR(write(pair.a, page.tail(100), 200), EFAULT);
  EXPECT_EQ(write(pair.a, page.tail(100), 100), 100);
  EXPECT_EQ(recv(pair.b, buffer, 64, 0), 64);
  EXPECT_EQ(recv(pair.b, buffer, 64, 0), 36);
  // What a stream could copy was sent, and only that.
  for (size_t i = 0; i < page.size(); i++) page.start()[i] = static_cast<char>(pattern_at(i));
  ssize_t n = write(pair.a, page.start(), page.size() + 65536);
  if (n == -1) EXPECT_EQ(errno, EFAULT);
  EXPECT(n == -1 || (n > 0 && n <= static_cast<ssize_t>(page.size())));
  OK(shutdown(pair.a, SHUT_WR));
  std::vector<char> got(2 * page.size());
  ssize_t arrived = recv(pair.b, got.data(), got.size(), MSG_WAITALL);
  EXPECT_EQ(arrived, n == -1 ? 0 : n);
  EXPECT(is_pattern(got.data(), static_cast<size_t>(arrived)));
  // Receiving: a datagram that does not fit into the usable part fails; one that fits does not.
  EXPECT_EQ(write(datagrams.a, got.data(), 150), 150);
  EXPECT_ERR(read(datagrams.b, page.tail(100), 200), EFAULT);
  EXPECT_EQ(write(datagrams.a, "short", 5), 5);
  EXPECT_EQ(read(datagrams.b, page.tail(100), 200), 5);
  EXPECT(memcmp(page.tail(100), "short", 5) == 0);
  Pair stream = tcp_pair();
  EXPECT_EQ(write(stream.a, "some bytes", 10), 10);
  EXPECT(readable(stream.b));
  EXPECT_ERR(read(stream.b, page.tail(4), 200), EFAULT);
  EXPECT_EQ(read(stream.b, page.tail(16), 200), 10);
  EXPECT(memcmp(page.tail(16), "some bytes", 10) == 0);
}

TEST(read_only_memory) {
  Pair pair = tcp_pair();
  Guarded page;
  memcpy(page.start(), "constant", 8);
  OK(mprotect(page.start(), kPage, PROT_READ));
  EXPECT_EQ(write(pair.a, page.start(), 8), 8);
  EXPECT(readable(pair.b));
  EXPECT_ERR(read(pair.b, page.start(), 8), EFAULT);
  EXPECT_EQ(read(pair.b, buffer, 64), 8);
  EXPECT(memcmp(buffer, "constant", 8) == 0);
  EXPECT_ERR(getsockname(pair.a, reinterpret_cast<sockaddr*>(page.start()), &length), EFAULT);
  EXPECT_ERR(getsockname(pair.a, generic(&address), reinterpret_cast<socklen_t*>(page.start())),
             EFAULT);
  int value;
  EXPECT_EQ(ioctl(pair.a, FIONREAD, &value), 0);
  EXPECT_ERR(ioctl(pair.a, FIONREAD, page.start()), EFAULT);
}

TEST(vector_at_the_edge) {
  Pair pair = udp_pair();
  Guarded page;
  auto* parts = reinterpret_cast<iovec*>(page.tail(2 * sizeof(iovec)));
  parts[0] = piece("ab", 2);
  parts[1] = piece("cd", 2);
  EXPECT_EQ(writev(pair.a, parts, 2), 4);
  EXPECT_ERR(writev(pair.a, parts, 3), EFAULT);
  // A good part before a bad one: a datagram goes whole or not at all.
  iovec mixed[2] = {piece("ab", 2), piece(page.end(), 2)};
  EXPECT_ERR(writev(pair.a, mixed, 2), EFAULT);
  iovec empty[2] = {piece("ab", 2), piece(page.end(), 0)};
  EXPECT_EQ(writev(pair.a, empty, 2), 2);
  EXPECT_EQ(read(pair.b, buffer, 64), 4);
  EXPECT_EQ(read(pair.b, buffer, 64), 2);
}

TEST(options_and_ioctls) {
  Pair pair = tcp_pair();
  int value = 1;
  EACH_BAD(bad) {
    length = sizeof value;
    EXPECT_ERR(syscall(SYS_setsockopt, pair.a, SOL_SOCKET, SO_KEEPALIVE, bad, 4), EFAULT);
    EXPECT_ERR(syscall(SYS_setsockopt, pair.a, IPPROTO_TCP, TCP_NODELAY, bad, 4), EFAULT);
    EXPECT_ERR(syscall(SYS_setsockopt, pair.a, SOL_SOCKET, SO_RCVTIMEO, bad, 16), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockopt, pair.a, SOL_SOCKET, SO_KEEPALIVE, bad, &length), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockopt, pair.a, SOL_SOCKET, SO_KEEPALIVE, &value, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockopt, pair.a, IPPROTO_TCP, TCP_INFO, bad, &length), EFAULT);
    EXPECT_ERR(syscall(SYS_getsockopt, pair.a, IPPROTO_IP, IP_TTL, bad, &length), EFAULT);
    EXPECT_ERR(syscall(SYS_ioctl, pair.a, FIONREAD, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_ioctl, pair.a, FIONBIO, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_ioctl, pair.a, 0x8912 /* SIOCGIFCONF */, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_ioctl, pair.a, 0x8913 /* SIOCGIFFLAGS */, bad), EFAULT);
  }
}

TEST(paths) {
  int fd = OK(open("/proc/sys/net/ipv4/ip_default_ttl", O_RDONLY));
  int directory = OK(open("/proc/sys/net", O_RDONLY | O_DIRECTORY));
  const char* file = "/proc/net/dev";
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_open, bad, O_RDONLY), EFAULT);
    EXPECT_ERR(syscall(SYS_openat, AT_FDCWD, bad, O_RDONLY), EFAULT);
    EXPECT_ERR(syscall(SYS_openat, directory, bad, O_RDONLY), EFAULT);
    EXPECT_ERR(syscall(SYS_openat2, directory, "ipv4", bad, 24), EFAULT);
    EXPECT_ERR(syscall(SYS_stat, bad, buffer), EFAULT);
    EXPECT_ERR(syscall(SYS_stat, file, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_lstat, file, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_fstat, fd, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_newfstatat, AT_FDCWD, file, bad, 0), EFAULT);
    EXPECT_ERR(syscall(SYS_newfstatat, directory, bad, buffer, 0), EFAULT);
    EXPECT_ERR(syscall(SYS_statx, AT_FDCWD, file, 0, STATX_SIZE, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_access, bad, R_OK), EFAULT);
    EXPECT_ERR(syscall(SYS_faccessat, directory, bad, R_OK), EFAULT);
    EXPECT_ERR(syscall(SYS_readlink, "/proc/net", bad, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_readlinkat, directory, bad, buffer, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_getdents64, directory, bad, 1024), EFAULT);
    EXPECT_ERR(syscall(SYS_read, fd, bad, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_pread64, fd, bad, 8, 0), EFAULT);
    EXPECT_ERR(syscall(SYS_chdir, bad), EFAULT);
    EXPECT_EQ(syscall(SYS_lseek, fd, 0, SEEK_CUR), 0);
  }
  // A path that ends where its page does, with and without room for the final zero.
  Guarded page;
  size_t size = strlen(file);
  memcpy(page.tail(size + 1), file, size + 1);
  int opened = OK(open(page.tail(size + 1), O_RDONLY));
  close(opened);
  memcpy(page.tail(size), file, size);
  EXPECT_ERR(syscall(SYS_open, page.tail(size), O_RDONLY), EFAULT);
  EXPECT_ERR(syscall(SYS_stat, page.tail(size), buffer), EFAULT);
}

TEST(copies) {
  Pair pair = tcp_pair();
  int file = OK(open("/proc/self/exe", O_RDONLY));
  int pipes[2];
  OK(pipe(pipes));
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_sendfile, pair.a, file, bad, 10), EFAULT);
    EXPECT_ERR(syscall(SYS_splice, file, bad, pipes[1], nullptr, 10, 0), EFAULT);
  }
  EXPECT_ERR(recv(pair.b, buffer, 1, MSG_DONTWAIT), EAGAIN);
}
