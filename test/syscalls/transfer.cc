// SPDX-License-Identifier: Apache-2.0
//
// Bytes and datagrams through sockets: each way to send with each way to receive, and every flag
// that changes what a receiver gets. Long streams are in streams.cc.

#include <netinet/udp.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

enum Way { kPlain, kFlags, kAddress, kMessage, kMany, kVector, kWays };

ssize_t send_by(Way way, int fd, const void* data, size_t size) {
  iovec parts[2] = {piece(data, size / 3),
                    piece(static_cast<const char*>(data) + size / 3, size - size / 3)};
  mmsghdr message = {};
  message.msg_hdr.msg_iov = parts;
  message.msg_hdr.msg_iovlen = 2;
  switch (way) {
    case kPlain:
      return write(fd, data, size);
    case kFlags:
      return send(fd, data, size, MSG_NOSIGNAL);
    case kAddress:
      return sendto(fd, data, size, 0, nullptr, 0);
    case kMessage:
      return sendmsg(fd, &message.msg_hdr, 0);
    case kMany:
      return sendmmsg(fd, &message, 1, 0) == 1 ? static_cast<ssize_t>(message.msg_len) : -1;
    default:
      return writev(fd, parts, 2);
  }
}

ssize_t receive_by(Way way, int fd, void* data, size_t size) {
  iovec parts[2] = {piece(data, size / 4),
                    piece(static_cast<char*>(data) + size / 4, size - size / 4)};
  mmsghdr message = {};
  message.msg_hdr.msg_iov = parts;
  message.msg_hdr.msg_iovlen = 2;
  switch (way) {
    case kPlain:
      return read(fd, data, size);
    case kFlags:
      return recv(fd, data, size, 0);
    case kAddress:
      return recvfrom(fd, data, size, 0, nullptr, nullptr);
    case kMessage:
      return recvmsg(fd, &message.msg_hdr, 0);
    case kMany:
      return recvmmsg(fd, &message, 1, 0, nullptr) == 1 ? static_cast<ssize_t>(message.msg_len)
                                                        : -1;
    default:
      return readv(fd, parts, 2);
  }
}

}  // namespace

TEST(each_way_on_streams) {
  Pair pair = tcp_pair();
  for (int sender = 0; sender < kWays; sender++) {
    for (int receiver = 0; receiver < kWays; receiver++) {
      auto data = pattern(10007, static_cast<unsigned>(sender * kWays + receiver));
      EXPECT_EQ(send_by(static_cast<Way>(sender), pair.a, data.data(), data.size()), 10007);
      std::vector<unsigned char> got(20000);
      size_t have = 0;
      while (have < data.size()) {
        have += static_cast<size_t>(OK(
            receive_by(static_cast<Way>(receiver), pair.b, got.data() + have, got.size() - have)));
      }
      EXPECT_EQ(have, data.size());
      EXPECT(memcmp(got.data(), data.data(), data.size()) == 0);
    }
  }
  close_pair(pair);
}

TEST(each_way_on_datagrams) {
  Pair pair = udp_pair();
  for (int sender = 0; sender < kWays; sender++) {
    for (int receiver = 0; receiver < kWays; receiver++) {
      for (size_t size : {0u, 1u, 1400u, 9000u, 65507u}) {
        if (size == 0 && sender == kVector) continue;  // writev of nothing sends nothing
        auto data = pattern(size, static_cast<unsigned>(size));
        EXPECT_EQ(send_by(static_cast<Way>(sender), pair.a, data.data(), size), size);
        std::vector<unsigned char> got(66000);
        EXPECT_EQ(receive_by(static_cast<Way>(receiver), pair.b, got.data(), got.size()), size);
        EXPECT(is_pattern(got.data(), size, 0, static_cast<unsigned>(size)));
      }
    }
  }
}

TEST(peek) {
  Pair pair = tcp_pair();
  char text[8] = {};
  EXPECT_EQ(write(pair.a, "abcdef", 6), 6);
  EXPECT_EQ(recv(pair.b, text, 3, MSG_PEEK), 3);
  EXPECT_TEXT(text, "abc");
  EXPECT_EQ(recv(pair.b, text, 7, MSG_PEEK), 6);
  EXPECT_TEXT(text, "abcdef");
  memset(text, 0, sizeof text);
  EXPECT_EQ(recv(pair.b, text, 2, 0), 2);
  EXPECT_EQ(recv(pair.b, text, 7, MSG_PEEK | MSG_DONTWAIT), 4);
  EXPECT_TEXT(text, "cdef");
  EXPECT_EQ(read(pair.b, text, 7), 4);
  EXPECT_ERR(recv(pair.b, text, 7, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
}

TEST(truncation) {
  Pair datagrams = udp_pair();
  auto data = pattern(3000);
  char small[100];
  EXPECT_EQ(send(datagrams.a, data.data(), 3000, 0), 3000);
  EXPECT_EQ(recv(datagrams.b, small, sizeof small, MSG_TRUNC | MSG_PEEK), 3000);
  EXPECT_EQ(recv(datagrams.b, small, sizeof small, 0), 100);
  EXPECT(is_pattern(small, sizeof small));
  EXPECT_ERR(recv(datagrams.b, small, sizeof small, MSG_DONTWAIT), EAGAIN);  // the rest is gone
  Pair stream = tcp_pair();
  EXPECT_EQ(send(stream.a, data.data(), 3000, 0), 3000);
  EXPECT(readable(stream.b));
  memset(small, 0x55, sizeof small);
  EXPECT_EQ(recv(stream.b, small, 100, MSG_TRUNC), 100);  // thrown away, not copied
  EXPECT_EQ(small[0], 0x55);
  EXPECT_EQ(recv(stream.b, nullptr, 50, MSG_TRUNC), 50);
  EXPECT_EQ(recv(stream.b, small, 100, 0), 100);
  EXPECT(is_pattern(small, 100, 150));
}

TEST(broken_pipe) {
  on_signal(SIGPIPE, count_signal);
  Pair pair = tcp_pair();
  iovec part = piece("x", 1);
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  OK(shutdown(pair.a, SHUT_WR));
  EXPECT_ERR(write(pair.a, "x", 1), EPIPE);
  EXPECT_EQ(handled, 1);
  EXPECT_ERR(send(pair.a, "x", 1, 0), EPIPE);
  EXPECT_EQ(handled, 2);
  EXPECT_ERR(writev(pair.a, &part, 1), EPIPE);
  EXPECT_EQ(handled, 3);
  EXPECT_ERR(sendmsg(pair.a, &message, 0), EPIPE);
  EXPECT_EQ(handled, 4);
  EXPECT_ERR(send(pair.a, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_ERR(sendmsg(pair.a, &message, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(handled, 4);
  on_signal(SIGPIPE, SIG_IGN);
  EXPECT_ERR(write(pair.a, "x", 1), EPIPE);
  // If it is blocked, it stays pending.
  on_signal(SIGPIPE, count_signal);
  sigset_t pipe_only, before, waiting;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  OK(sigprocmask(SIG_BLOCK, &pipe_only, &before));
  EXPECT_ERR(write(pair.a, "x", 1), EPIPE);
  EXPECT_EQ(handled, 4);
  OK(sigpending(&waiting));
  EXPECT(sigismember(&waiting, SIGPIPE) == 1);
  OK(sigprocmask(SIG_SETMASK, &before, nullptr));
  EXPECT_EQ(handled, 5);
}

TEST(broken_pipe_kills) {
  Pair pair = tcp_pair();
  OK(shutdown(pair.a, SHUT_WR));
  int status = wait_for(child([&] { write(pair.a, "x", 1); }));
  EXPECT(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGPIPE);
}

TEST(reset) {
  Pair pair = tcp_pair();
  on_signal(SIGPIPE, SIG_IGN);
  linger now = {1, 0};
  OK(setsockopt(pair.a, SOL_SOCKET, SO_LINGER, &now, sizeof now));
  close(pair.a);
  char byte;
  EXPECT_EQ(events_of(pair.b, POLLIN, 5000), POLLIN | POLLERR | POLLHUP);
  EXPECT_ERR(recv(pair.b, &byte, 1, 0), ECONNRESET);
  EXPECT_EQ(recv(pair.b, &byte, 1, 0), 0);
  EXPECT_ERR(write(pair.b, &byte, 1), EPIPE);
}

TEST(empty_datagrams) {
  Pair pair = udp_pair();
  char bytes[8];
  EXPECT_EQ(send(pair.a, nullptr, 0, 0), 0);
  EXPECT_EQ(send(pair.a, "after", 5, 0), 5);
  EXPECT(readable(pair.b));
  EXPECT_EQ(recv(pair.b, bytes, sizeof bytes, 0), 0);
  EXPECT_EQ(recv(pair.b, bytes, sizeof bytes, 0), 5);
  EXPECT_EQ(write(pair.a, bytes, 0), 0);  // a datagram, too
  EXPECT(readable(pair.b));
  EXPECT_EQ(recv(pair.b, bytes, sizeof bytes, MSG_DONTWAIT), 0);
  EXPECT_ERR(recv(pair.b, bytes, sizeof bytes, MSG_DONTWAIT), EAGAIN);
  Pair stream = tcp_pair();
  EXPECT_EQ(send(stream.a, nullptr, 0, 0), 0);
  EXPECT_EQ(write(stream.a, nullptr, 0), 0);
  EXPECT_EQ(read(stream.b, bytes, 0), 0);
  EXPECT_ERR(recv(stream.b, bytes, 0, MSG_DONTWAIT), EAGAIN);
}

TEST(datagram_errors) {
  Pair pair = udp_pair();
  std::vector<char> big(65508);
  EXPECT_ERR(send(pair.a, big.data(), big.size(), 0), EMSGSIZE);
  EXPECT_ERR(recv(pair.b, big.data(), 1, MSG_OOB | MSG_DONTWAIT), EAGAIN);
  EXPECT_ERR(recv(pair.b, big.data(), 1, MSG_ERRQUEUE), EAGAIN);
  close(pair.b);
  EXPECT_EQ(send(pair.a, "x", 1, 0), 1);  // answered with "port unreachable"
  EXPECT_EQ(events_of(pair.a, POLLIN, 5000) & POLLERR, POLLERR);
  EXPECT_ERR(send(pair.a, "x", 1, 0), ECONNREFUSED);
  sockaddr_in odd = loopback();
  EXPECT_ERR(sendto(pair.a, "x", 1, 0, generic(&odd), sizeof odd), EINVAL);  // port 0
  odd.sin_family = 99;
  odd.sin_port = 1;
  EXPECT_ERR(sendto(pair.a, "x", 1, 0, generic(&odd), sizeof odd), EAFNOSUPPORT);
  EXPECT_ERR(sendto(pair.a, "x", 1, 0, generic(&odd), 3), EINVAL);
  EXPECT_ERR(sendto(pair.a, "x", 1, 0, generic(&odd), 200), EINVAL);
}

TEST(urgent_data) {
  Pair pair = tcp_pair();
  char text[8] = {};
  EXPECT_ERR(recv(pair.b, text, 1, MSG_OOB), EINVAL);
  EXPECT_EQ(send(pair.a, "ab!", 3, MSG_OOB), 3);
  EXPECT_EQ(events_of(pair.b, POLLPRI, 5000), POLLPRI);
  EXPECT_EQ(recv(pair.b, text, 1, MSG_OOB), 1);
  EXPECT_TEXT(text, "!");
  EXPECT_EQ(recv(pair.b, text, 7, 0), 2);
  EXPECT_TEXT(text, "ab");
}

TEST(more_to_come) {
  Pair pair = udp_pair();
  char text[16] = {};
  EXPECT_EQ(send(pair.a, "one ", 4, MSG_MORE), 4);
  EXPECT_EQ(send(pair.a, "datagram", 8, 0), 8);
  EXPECT_EQ(recv(pair.b, text, sizeof text, 0), 12);
  EXPECT_TEXT(text, "one datagram");
}

TEST(sender_address) {
  int a = bound(SOCK_DGRAM, loopback(0, "127.0.9.1")), b = bound(SOCK_DGRAM, loopback());
  sockaddr_in to = name_of(b), expected = name_of(a), from = {};
  socklen_t length = sizeof from;
  char byte;
  EXPECT_EQ(sendto(a, "x", 1, 0, generic(&to), sizeof to), 1);
  EXPECT_EQ(recvfrom(b, &byte, 1, 0, generic(&from), &length), 1);
  EXPECT_EQ(length, sizeof from);
  EXPECT(memcmp(&from, &expected, sizeof from) == 0);
  EXPECT_EQ(sendto(a, "x", 1, 0, generic(&to), sizeof to), 1);
  memset(&from, 0x11, sizeof from);
  length = 4;
  EXPECT_EQ(recvfrom(b, &byte, 1, 0, generic(&from), &length), 1);
  EXPECT_EQ(length, sizeof from);
  EXPECT(memcmp(&from, &expected, 4) == 0);
  EXPECT_EQ(from.sin_addr.s_addr, 0x11111111);
  Pair pair = tcp_pair();
  EXPECT_EQ(sendto(pair.a, "x", 1, 0, generic(&to), sizeof to), 1);  // the address is ignored
  length = sizeof from;
  EXPECT_EQ(recvfrom(pair.b, &byte, 1, 0, generic(&from), &length), 1);
  EXPECT_EQ(length, 0);
}
