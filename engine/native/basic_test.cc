// SPDX-License-Identifier: Apache-2.0
//
// The ordinary path through a proxy: sockets, readiness, files, with windows and without.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>

#include "engine/testing/client.h"

namespace mino::test {
namespace {

class Basic : public ::testing::TestWithParam<Options> {
 protected:
  Session session{GetParam()};
  LaneClient lane{session, 0};
};

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

TEST_P(Basic, NullOperation) {
  EXPECT_EQ(lane.op(abi::Op::kNull), 0);
  for (int i = 0; i < 100; i++) EXPECT_EQ(lane.op(abi::Op::kNull), 0);
}

TEST_P(Basic, TcpPair) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
  sockaddr_in address = loopback(0);
  ASSERT_EQ(lane.call(SYS_bind, {10, ptr(&address), sizeof address}), 0);
  ASSERT_EQ(lane.call(SYS_listen, {10, 8}), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
  EXPECT_EQ(size, sizeof address);
  ASSERT_NE(address.sin_port, 0);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
  ASSERT_EQ(lane.call(SYS_connect, {11, ptr(&address), sizeof address}), 0);
  sockaddr_in peer{};
  size = sizeof peer;
  ASSERT_EQ(lane.call(SYS_accept4, {10, ptr(&peer), ptr(&size), 0}, 12), 12);
  EXPECT_EQ(size, sizeof peer);
  EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  char text[] = "hello, device";
  ASSERT_EQ(lane.call(SYS_sendto, {11, ptr(text), sizeof text, 0, 0, 0}), sizeof text);
  pollfd ready[2] = {{12, POLLIN, 0}, {99, POLLIN, 0}};
  EXPECT_EQ(lane.call(SYS_poll, {ptr(ready), 2, 1000}), 2);
  EXPECT_EQ(ready[0].revents, POLLIN);
  EXPECT_EQ(ready[1].revents, POLLNVAL);
  char got[64]{};
  ASSERT_EQ(lane.call(SYS_recvfrom, {12, ptr(got), sizeof got, 0, 0, 0}), sizeof text);
  EXPECT_STREQ(got, text);
  EXPECT_EQ(lane.call(SYS_close, {11}), 0);
  EXPECT_EQ(lane.call(SYS_close, {11}), -EBADF);
  EXPECT_EQ(lane.call(SYS_read, {12, ptr(got), sizeof got}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {12, F_GETFL}), O_RDWR);
}

TEST_P(Basic, Epoll) {
  ASSERT_EQ(lane.call(SYS_epoll_create1, {EPOLL_CLOEXEC}, 20), 20);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 21), 21);
  sockaddr_in address = loopback(5353);
  ASSERT_EQ(lane.call(SYS_bind, {21, ptr(&address), sizeof address}), 0);
  epoll_event event{EPOLLIN, {.u64 = 0xfeedface}};
  ASSERT_EQ(lane.call(SYS_epoll_ctl, {20, EPOLL_CTL_ADD, 21, ptr(&event)}), 0);
  EXPECT_EQ(lane.call(SYS_epoll_ctl, {20, EPOLL_CTL_ADD, 40, ptr(&event)}), -EBADF);
  epoll_event got[4]{};
  EXPECT_EQ(lane.call(SYS_epoll_wait, {20, ptr(got), 4, 0}), 0);
  char byte = 'x';
  ASSERT_EQ(lane.call(SYS_sendto, {21, ptr(&byte), 1, 0, ptr(&address), sizeof address}), 1);
  ASSERT_EQ(lane.call(SYS_epoll_wait, {20, ptr(got), 4, 1000}), 1);
  EXPECT_EQ(got[0].data.u64, 0xfeedfaceu);
}

TEST_P(Basic, ProcFiles) {
  const char* path = "/proc/sys/net/core/somaxconn";
  ASSERT_EQ(lane.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(path), O_RDONLY, 0}, 30),
            30);
  char text[32]{};
  EXPECT_GT(lane.call(SYS_read, {30, ptr(text), sizeof text}), 1);
  EXPECT_GE(std::atoi(text), 128);
  EXPECT_EQ(lane.call(SYS_openat,
                      {static_cast<uint64_t>(AT_FDCWD), ptr("/nonexistent"), O_RDONLY, 0}, 31),
            -ENOENT);
  EXPECT_EQ(lane.call(SYS_openat, {77, ptr("relative"), O_RDONLY, 0}, 31), -EBADF);
}

INSTANTIATE_TEST_SUITE_P(All, Basic,
                         ::testing::Values(Options{}, Options{.windows = false},
                                           Options{.arena_bytes = 4096},
                                           Options{.arena_bytes = 4096, .windows = false}),
                         [](const auto& info) {
                           return std::string(info.param.windows ? "Windows" : "NoWindows") +
                                  (info.param.arena_bytes == 4096 ? "SmallArena" : "");
                         });

}  // namespace
}  // namespace mino::test
