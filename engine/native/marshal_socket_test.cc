// SPDX-License-Identifier: Apache-2.0
//
// Datagrams, streams and socket options through the marshal, compared with the direct calls.
#include <linux/filter.h>
#include <sys/ioctl.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

TEST(MarshalSocketTest, Datagrams) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp(5002);
    const sockaddr_in to_b = loopback(5002);
    for (const uint64_t buffer : World::places(100)) {
      for (const uint64_t address : World::other_places(16)) {
        World::put(address, to_b);
        world.call("sendto", SYS_sendto, a.get(), buffer, 100, 0, address, 16);
        drain(world, b.get());
      }
      ::send(a.get(), "hello, datagram", 15, 0);
      world.call("recvfrom", SYS_recvfrom, b.get(), buffer, 100, 0, 0, 0);
      drain(world, b.get());
    }
    for (const uint64_t address : World::places(16)) {
      for (const uint64_t length : World::other_places(4)) {
        for (const int32_t size : {16, 0, 7, 200, -1}) {
          World::put(length, size);
          ::send(a.get(), "hello", 5, 0);
          world.call("recvfrom", SYS_recvfrom, b.get(), world.at(9000), 100, 0, address, length);
          world.call("again", SYS_recvfrom, b.get(), world.at(9000), 100, 0, address, length);
          World::put(length, size);
          world.call("getsockname", SYS_getsockname, b.get(), address, length);
          world.call("getpeername", SYS_getpeername, a.get(), address, length);
        }
      }
    }
    for (const uint64_t size :
         {uint64_t{0}, uint64_t{2}, uint64_t{16}, uint64_t{100}, uint64_t{129}, ~uint64_t{0}}) {
      World::put(Region::kBase + 4096, to_b);
      world.call("sendto", SYS_sendto, a.get(), world.at(9000), 10, 0, world.at(4096), size);
      drain(world, b.get());
    }
    ::send(a.get(), "long enough to be cut", 21, 0);
    world.call("MSG_TRUNC", SYS_recvfrom, b.get(), world.at(9000), 4, MSG_TRUNC, 0, 0);
    ::send(a.get(), "peeked", 6, 0);
    world.call("MSG_PEEK", SYS_recvfrom, b.get(), world.at(9000), ~uint64_t{0}, MSG_PEEK, 0, 0);
    World::put(Region::kBase + 200, 16);
    world.call("a huge size", SYS_recvfrom, b.get(), world.at(9000), 1ull << 40, 0, world.at(100),
               world.at(200));
    world.call("after", SYS_recvfrom, b.get(), world.at(9000), 100, 0, 0, 0);
  });
}

TEST(MarshalSocketTest, StreamTruncation) {
  compare_ways([](World& world) {
    auto [a, b] = tcp_pair(5100);
    ::send(a.get(), "a stream of bytes", 17, 0);
    ::usleep(2000);
    // TCP with MSG_TRUNC throws bytes away and touches no buffer.
    world.call("MSG_TRUNC", SYS_recvfrom, b.get(), world.at(9000), 5, MSG_TRUNC, 0, 0);
    const int size = 16;
    World::put(Region::kBase + 200, size);
    world.call("rest", SYS_recvfrom, b.get(), world.at(9000), 50, 0, world.at(100), world.at(200));
    ::send(a.get(), "more", 4, 0);
    ::usleep(2000);
    world.call("with address", SYS_recvfrom, b.get(), world.at(9000), 50, 0, world.at(100),
               world.at(200));
    // Part of a buffer is bad.
    for (const uint64_t place : World::places(8000)) {
      const std::string bytes(6000, 'x');
      ::send(a.get(), bytes.data(), bytes.size(), 0);
      ::usleep(2000);
      world.call("recv", SYS_recvfrom, b.get(), place, 8000, 0, 0, 0);
      drain(world, b.get(), true);
      // How much of a bad buffer is taken depends on where a page of the kernel's ends.
      const int64_t sent = world.call("send", SYS_sendto, b.get(), place, 8000, 0, 0, 0);
      if (sent != 8000) world.log.back() = "send of a bad buffer";
      EXPECT_TRUE(sent == -EFAULT || sent > 0) << sent;
      if (sent <= 0) continue;
      std::string got(static_cast<size_t>(sent), '\0');
      ::recv(a.get(), got.data(), got.size(), MSG_WAITALL);
      EXPECT_EQ(std::memcmp(got.data(), reinterpret_cast<void*>(place), got.size()), 0) << sent;
    }
  });
}

// With MSG_ZEROCOPY the kernel sends from the very pages that it was given, perhaps long after the
// call. Here, it sends when the cork comes off, after other calls have used the arena and the
// scratch.
std::string sent_with_zero_copy(World& world) {
  auto [a, b] = tcp_pair(5100);
  const int one = 1, zero = 0;
  ::setsockopt(a.get(), SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one);
  std::string received;
  for (int i = 0; i < 8; i++) {
    ::setsockopt(a.get(), IPPROTO_TCP, TCP_CORK, &one, sizeof one);
    std::memset(world.at(8192), 'a' + i, 50000);
    world.call("sendto", SYS_sendto, a.get(), world.at(8192), 40000, MSG_ZEROCOPY | MSG_DONTWAIT, 0,
               0);
    std::memset(world.at(8192), '.', 50000);
    world.call("pwrite64", SYS_pwrite64, 999, world.at(8192), 50000, 0);
    ::setsockopt(a.get(), IPPROTO_TCP, TCP_CORK, &zero, sizeof zero);
    ::usleep(2000);
    char bytes[50000];
    const ssize_t got = ::recv(b.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) received.append(bytes, static_cast<size_t>(got));
  }
  return received;
}

TEST(MarshalSocketTest, ZeroCopyKeepsItsPages) {
  const bool done = in_own_network([] {
    for (const Way& way : kWays) {
      FakeClient client(way.arena_bytes, way.windows);
      Region::reset();
      World world(&client);
      const std::string received = sent_with_zero_copy(world);
      EXPECT_GT(received.size(), 80000u) << way.name;
      EXPECT_EQ(received.find('.'), std::string::npos) << way.name;
    }
  });
  if (!done) GTEST_SKIP() << "needs a network namespace (CAP_SYS_ADMIN)";
}

TEST(MarshalSocketTest, SocketOptions) {
  compare_ways([](World& world) {
    Socket tcp(::socket(AF_INET, SOCK_STREAM, 0));
    const struct {
      int level, option;
    } options[] = {
        {SOL_SOCKET, SO_TYPE},         {SOL_SOCKET, SO_LINGER},       {SOL_SOCKET, SO_RCVTIMEO},
        {IPPROTO_TCP, TCP_NODELAY},    {IPPROTO_TCP, TCP_CONGESTION}, {IPPROTO_IP, IP_OPTIONS},
        {SOL_SOCKET, SO_BINDTODEVICE}, {SOL_SOCKET, SO_ERROR},        {SOL_SOCKET, 9999},
        {IPPROTO_IP, IP_TTL},
    };
    for (const auto& o : options) {
      for (const uint64_t value : World::places(8)) {
        for (const uint64_t length : World::other_places(4)) {
          World::put(length, 8);
          world.call("getsockopt", SYS_getsockopt, tcp.get(), o.level, o.option, value, length);
        }
        World::put(value, uint64_t{1});
        world.call("setsockopt", SYS_setsockopt, tcp.get(), o.level, o.option, value, 8);
      }
      for (const int32_t size : {0, 1, 2, 3, 4, 16, 100, 3000, 0x7fffffff, -1}) {
        World::put(Region::kBase, size);
        world.call("getsockopt", SYS_getsockopt, tcp.get(), o.level, o.option, world.at(4096),
                   world.at(0));
        world.call("setsockopt", SYS_setsockopt, tcp.get(), o.level, o.option, world.at(4096),
                   size);
      }
    }
  });
}

TEST(MarshalSocketTest, OptionsWithPointers) {
  compare_ways([](World& world) {
    Socket socket = udp(5001);
    const sock_filter code[3] = {{0x20, 0, 0, 0xfffff000}, {0x15, 0, 0, 1}, {0x06, 0, 0, 0xffff}};
    const auto attach = [&](uint64_t program, uint64_t filter, uint16_t count) {
      World::put(filter, code);
      struct {
        uint16_t count;
        uint16_t pad[3];
        uint64_t filter;
      } value{count, {1, 2, 3}, filter};
      World::put(program, value);
      world.call("attach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, program, 16);
      World::put(Region::kBase + 9000, 3);
      world.call("get", SYS_getsockopt, socket.get(), SOL_SOCKET, SO_GET_FILTER, world.at(9100),
                 world.at(9000));
      world.call("detach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_DETACH_FILTER, program, 4);
    };
    for (const uint64_t place : World::places(16)) attach(place, Region::kBase + 8000, 3);
    for (const uint64_t place : World::places(24)) attach(Region::kBase, place, 3);
    for (const uint16_t count :
         {uint16_t{0}, uint16_t{1}, uint16_t{4}, uint16_t{4096}, uint16_t{65535}}) {
      attach(Region::kBase, Region::kBase + 8000, count);
    }
    // The kernel takes ints, whatever the upper halves of the registers hold.
    World::put(Region::kBase + 8000, code);
    struct {
      uint64_t count, filter;
    } value{3, Region::kBase + 8000};
    World::put(Region::kBase, value);
    world.call("attach", SYS_setsockopt, socket.get(), (uint64_t{7} << 32) | SOL_SOCKET,
               (uint64_t{7} << 32) | SO_ATTACH_FILTER, world.at(0), (uint64_t{7} << 32) | 16);
    world.call("detach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_DETACH_FILTER, world.at(0),
               4);
    auto [a, b] = tcp_pair(5100);
    ::send(a.get(), "zero copy", 9, 0);
    ::usleep(2000);
    struct {
      uint64_t address = 0;
      uint32_t words[4]{0, 0, 0, 0};
      uint64_t copy = Region::kBase + 3000;
      int32_t copy_len = 0;
      uint32_t flags = 0;
      uint64_t rest[3]{};
    } zero_copy;
    World::put(Region::kBase, 40);
    World::put(Region::kBase + 100, zero_copy);
    world.call("TCP_ZEROCOPY_RECEIVE", SYS_getsockopt, b.get(), IPPROTO_TCP, 35, world.at(100),
               world.at(0));
  });
}

}  // namespace
}  // namespace mino
