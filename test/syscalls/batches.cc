// SPDX-License-Identifier: Apache-2.0
//
// sendmmsg and recvmmsg: how many messages each call handles, what it writes back, and which
// failure shows at once, later or never.

#include <sys/syscall.h>

#include <numeric>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// Messages of `size` bytes each, one after the other in one buffer.
struct Batch {
  std::vector<unsigned char> bytes;
  std::vector<iovec> parts;
  std::vector<mmsghdr> messages;

  Batch(size_t count, size_t size) : bytes(count * size), parts(count), messages(count) {
    for (size_t i = 0; i < count; i++) {
      parts[i] = piece(bytes.data() + i * size, size);
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_len = 0xdead;
    }
  }
  void fill() {
    bytes = pattern(bytes.size());
    refresh();
  }
  unsigned count() const { return static_cast<unsigned>(messages.size()); }
  mmsghdr* data() { return messages.data(); }

 private:
  void refresh() {
    size_t at = 0;
    for (auto& part : parts) {
      part.iov_base = bytes.data() + at;
      at += part.iov_len;
    }
  }
};

}  // namespace

TEST(many_messages) {
  Pair pair = udp_pair();
  Batch out(50, 100), in(64, 100);
  out.fill();
  EXPECT_EQ(sendmmsg(pair.a, out.data(), out.count(), 0), 50);
  for (auto& m : out.messages) EXPECT_EQ(m.msg_len, 100);
  EXPECT_EQ(recvmmsg(pair.b, in.data(), in.count(), MSG_DONTWAIT, nullptr), 50);
  for (size_t i = 0; i < 50; i++) EXPECT_EQ(in.messages[i].msg_len, 100);
  EXPECT_EQ(in.messages[50].msg_len, 0xdead);
  EXPECT(is_pattern(in.bytes.data(), 5000));
  EXPECT_ERR(recvmmsg(pair.b, in.data(), in.count(), MSG_DONTWAIT, nullptr), EAGAIN);
  EXPECT_EQ(sendmmsg(pair.a, out.data(), 0, 0), 0);
  EXPECT_EQ(recvmmsg(pair.b, in.data(), 0, 0, nullptr), 0);
}

TEST(more_than_the_limit) {
  Pair pair = tcp_pair();
  Batch out(1100, 3);
  out.fill();
  EXPECT_EQ(sendmmsg(pair.a, out.data(), out.count(), 0), 1024);
  EXPECT_EQ(out.messages[1023].msg_len, 3);
  EXPECT_EQ(out.messages[1024].msg_len, 0xdead);
  std::vector<unsigned char> got(3072);
  EXPECT_EQ(recv(pair.b, got.data(), got.size(), MSG_WAITALL), 3072);
  EXPECT(is_pattern(got.data(), got.size()));
}

TEST(each_to_its_address) {
  int from = bound(SOCK_DGRAM, loopback());
  Batch out(6, 10);
  out.fill();
  int to[6];
  sockaddr_in names[6];
  for (size_t i = 0; i < 6; i++) {
    to[i] = bound(SOCK_DGRAM, loopback());
    names[i] = name_of(to[i]);
    out.messages[i].msg_hdr.msg_name = &names[i];
    out.messages[i].msg_hdr.msg_namelen = sizeof names[i];
  }
  EXPECT_EQ(sendmmsg(from, out.data(), 6, 0), 6);
  sockaddr_in self = name_of(from);
  for (size_t i = 0; i < 6; i++) {
    Batch in(2, 20);
    sockaddr_in sender = {};
    in.messages[0].msg_hdr.msg_name = &sender;
    in.messages[0].msg_hdr.msg_namelen = sizeof sender;
    EXPECT_EQ(recvmmsg(to[i], in.data(), 2, MSG_DONTWAIT, nullptr), 1);
    EXPECT_EQ(in.messages[0].msg_len, 10);
    EXPECT_EQ(in.messages[0].msg_hdr.msg_namelen, sizeof sender);
    EXPECT_EQ(sender.sin_port, self.sin_port);
    EXPECT(is_pattern(in.bytes.data(), 10, i * 10));
  }
}

TEST(failure_in_the_middle) {
  Pair pair = udp_pair();
  Batch out(4, 10), in(4, 10);
  out.fill();
  out.parts[2].iov_base = bad_pointers()[1];
  EXPECT_EQ(sendmmsg(pair.a, out.data(), 4, 0), 2);
  EXPECT_EQ(out.messages[1].msg_len, 10);
  EXPECT_EQ(out.messages[2].msg_len, 0xdead);
  EXPECT_ERR(sendmmsg(pair.a, out.data() + 2, 2, 0), EFAULT);
  EXPECT_EQ(sendmmsg(pair.a, out.data() + 3, 1, 0), 1);
  in.parts[1].iov_base = bad_pointers()[1];
  EXPECT_EQ(recvmmsg(pair.b, in.data(), 4, MSG_DONTWAIT, nullptr), 1);
  // The failure of the second shows in the next call. Its datagram is lost, as with recvfrom.
  EXPECT_ERR(recvmmsg(pair.b, in.data(), 4, MSG_DONTWAIT, nullptr), EFAULT);
  EXPECT_EQ(recvmmsg(pair.b, in.data(), 4, MSG_DONTWAIT, nullptr), 1);
  EXPECT(is_pattern(in.bytes.data(), 10, 30));
  EXPECT_ERR(recvmmsg(pair.b, in.data(), 4, MSG_DONTWAIT, nullptr), EAGAIN);
}

TEST(bad_vectors) {
  Pair pair = udp_pair();
  for (void* bad : bad_pointers()) {
    EXPECT_ERR(sendmmsg(pair.a, static_cast<mmsghdr*>(bad), 2, 0), EFAULT);
    EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
    EXPECT_ERR(recvmmsg(pair.b, static_cast<mmsghdr*>(bad), 2, MSG_DONTWAIT, nullptr), EFAULT);
    EXPECT_EQ(sendmmsg(pair.a, static_cast<mmsghdr*>(bad), 0, 0), 0);
  }
  // Two headers before an inaccessible page: the third is found bad only when its turn comes.
  Guarded page;
  auto* edge = reinterpret_cast<mmsghdr*>(page.tail(2 * sizeof(mmsghdr)));
  Batch out(2, 10);
  out.fill();
  edge[0] = out.messages[0];
  edge[1] = out.messages[1];
  EXPECT_EQ(sendmmsg(pair.a, edge, 3, 0), 2);
  EXPECT_EQ(edge[1].msg_len, 10);
}

TEST(wait_for_one) {
  Pair pair = udp_pair();
  Batch out(3, 10), in(8, 10);
  out.fill();
  std::thread sender([&] {
    sleep_ms(20);
    EXPECT_EQ(sendmmsg(pair.a, out.data(), 3, 0), 3);
  });
  int n = recvmmsg(pair.b, in.data(), 8, MSG_WAITFORONE, nullptr);
  EXPECT(n >= 1 && n <= 3);
  sender.join();
  int rest = recvmmsg(pair.b, in.data(), 8, MSG_DONTWAIT, nullptr);
  EXPECT_EQ(n + (rest > 0 ? rest : 0), 3);
}

TEST(timeout) {
  Pair pair = udp_pair();
  Batch out(3, 10), in(3, 10);
  out.fill();
  timespec limit = {0, 1000000000};
  EXPECT_ERR(recvmmsg(pair.b, in.data(), 3, 0, &limit), EINVAL);
  limit = {-1, 0};
  EXPECT_ERR(recvmmsg(pair.b, in.data(), 3, 0, &limit), EINVAL);
  // The limit is checked after each message: zero means one message.
  EXPECT_EQ(sendmmsg(pair.a, out.data(), 3, 0), 3);
  limit = {0, 0};
  EXPECT_EQ(recvmmsg(pair.b, in.data(), 3, 0, &limit), 1);
  limit = {30, 0};
  EXPECT_EQ(recvmmsg(pair.b, in.data(), 2, 0, &limit), 2);
  EXPECT(limit.tv_sec > 0 && limit.tv_sec < 30);  // what is left comes back
  for (void* bad : bad_pointers()) {
    EXPECT_ERR(syscall(SYS_recvmmsg, pair.b, in.data(), 3, MSG_DONTWAIT, bad), EFAULT);
  }
}

TEST(errors) {
  Batch in(1, 10);
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(sendmmsg(-1, in.data(), 1, 0), EBADF);
  EXPECT_ERR(recvmmsg(-1, in.data(), 1, 0, nullptr), EBADF);
  EXPECT_ERR(recvmmsg(fd, in.data(), 1, 0, nullptr), ENOTCONN);
  EXPECT_ERR(sendmmsg(fd, in.data(), 1, MSG_NOSIGNAL), EPIPE);
  int pipes[2];
  OK(pipe(pipes));
  EXPECT_ERR(sendmmsg(pipes[1], in.data(), 1, 0), ENOTSOCK);
}
