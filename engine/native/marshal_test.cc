// SPDX-License-Identifier: Apache-2.0
//
// Every scenario runs directly and through the marshal, with windows of several kinds, and must give the same
// results and the same bytes; bad pointers included.
#include "engine/native/marshal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "engine/native/comparison.h"

namespace mino {
namespace {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    if (fd < 0) std::abort();
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Socket udp(uint16_t port, uint16_t peer = 0) {
  Socket socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  const sockaddr_in own = loopback(port), other = loopback(peer);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) std::abort();
  if (peer != 0) ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other);
  return socket;
}

std::pair<Socket, Socket> tcp_pair(uint16_t port) {
  Socket listener(::socket(AF_INET, SOCK_STREAM, 0));
  const int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const sockaddr_in own = loopback(port);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) std::abort();
  ::listen(listener.get(), 1);
  Socket client(::socket(AF_INET, SOCK_STREAM, 0));
  ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::connect(client.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own);
  Socket server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  return {std::move(client), std::move(server)};
}

// What a peer sees: the bytes that wait in a socket, logged as a call's result is.
void drain(World& world, int fd, bool stream = false) {
  char bytes[4096];
  uint32_t hash = 17;
  ssize_t total = 0;
  const auto log = [&] { world.log.push_back("  peer got " + std::to_string(total) + " " + std::to_string(hash)); };
  for (;;) {
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++) hash = hash * 31 + static_cast<uint8_t>(bytes[i]);
    total += got;
    if (!stream) {
      log();
      hash = 17;
      total = 0;
    }
  }
  if (stream) log();
}

struct TempFile {
  explicit TempFile(size_t bytes) : fd(::memfd_create("marshal_test", 0)) {
    std::string content(bytes, 0);
    for (size_t i = 0; i < bytes; i++) content[i] = static_cast<char>(i * 7 + i / 256);
    if (::pwrite(fd, content.data(), bytes, 0) != static_cast<ssize_t>(bytes)) std::abort();
  }
  ~TempFile() { ::close(fd); }
  const int fd;
};

TEST(MarshalTest, ReadsAndWritesOfFiles) {
  compare_ways([](World& world) {
    TempFile file(70000), target(100);
    const uint64_t sizes[] = {0, 1, 100, 5000, 65000, 1ull << 31, 1ull << 40, ~0ull, 1ull << 63};
    for (const uint64_t n : sizes) {
      for (const uint64_t place : World::places(n < 8192 ? n : 4096)) {
        world.call("pread64", SYS_pread64, file.fd, place, n, 3);
        if (n > 65000) continue;
        world.call("pwrite64", SYS_pwrite64, target.fd, place, n, 50);
        world.call("write", SYS_write, target.fd, place, n);
      }
    }
    world.call("read", SYS_read, file.fd, Region::kBase, 65536);
    world.call("read the rest", SYS_read, file.fd, Region::kBase, 65536);
    world.call("read the end", SYS_read, file.fd, Region::kBase, 65536);
    world.call("check", SYS_pread64, target.fd, Region::kBase, 100000, 0);
    world.call("lseek", SYS_lseek, file.fd, 5, SEEK_SET);
    world.call("bad fd", SYS_read, 999, Region::kBase, 5);
  });
}

TEST(MarshalTest, Vectors) {
  compare_ways([](World& world) {
    TempFile file(30000);
    iovec* const vector = world.at<iovec>(0);
    for (const uint64_t first : World::places(100)) {
      for (const uint64_t second : World::other_places(4000)) {
        TempFile target(10);
        vector[0] = {reinterpret_cast<void*>(first), 100};
        vector[1] = {nullptr, 0};
        vector[2] = {reinterpret_cast<void*>(second), 4000};
        vector[3] = {world.at(9000), 50};
        world.call("preadv", SYS_preadv, file.fd, vector, 4, 100, 0);
        world.call("pwritev", SYS_pwritev, target.fd, vector, 4, 5, 0);
        world.call("check", SYS_pread64, target.fd, Region::kBase + 20000, 10000, 0);
      }
    }
    for (const uint64_t length : {0ull, 1ull << 31, 1ull << 62, 1ull << 63, ~0ull}) {
      vector[0] = {world.at(4096), 10};
      vector[1] = {world.at(5000), length};
      world.call("readv", SYS_readv, file.fd, vector, 2);
      vector[1] = {world.at(5000), 100};
      vector[0] = {world.at(4096), length};
      world.call("readv", SYS_preadv2, file.fd, vector, 2, 8, 0, 0);
      world.call("readv of one", SYS_preadv2, file.fd, vector, 1, 8, 0, 0);
    }
    // Vectors in bad places, and counts that are none.
    for (const uint64_t place : World::places(48)) {
      const iovec good[3] = {{world.at(4096), 10}, {world.at(5000), 20}, {world.at(6000), 30}};
      World::put(place, good);
      world.call("readv", SYS_preadv2, file.fd, place, 3, 0, 0, 0);
      world.call("writev", SYS_pwritev2, file.fd, place, 3, 0, 0, 0);
    }
    for (const int64_t count : {int64_t{0}, int64_t{-1}, int64_t{1024}, int64_t{1025}, int64_t{1} << 40}) {
      world.call("count", SYS_preadv, file.fd, vector, count, 0, 0);
    }
    // Many small buffers: more than windows and extents can hold.
    for (int i = 0; i < 1024; i++) vector[i] = {world.at(20000 + static_cast<uint64_t>(i) * 20), 11};
    world.call("many", SYS_preadv, file.fd, vector, 1024, 0, 0);
    world.call("many", SYS_preadv, file.fd, vector, 200, 29000, 0);
    world.call("many out", SYS_pwritev, file.fd, vector, 1024, 100, 0);
    // Buffers that overlap: the later one wins.
    vector[0] = {world.at(4096), 100};
    vector[1] = {world.at(4146), 100};
    vector[2] = {world.at(4096), 10};
    world.call("overlapping", SYS_preadv, file.fd, vector, 3, 0, 0);
  });
}

TEST(MarshalTest, Datagrams) {
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
    for (const uint64_t size : {uint64_t{0}, uint64_t{2}, uint64_t{16}, uint64_t{100}, uint64_t{129}, ~uint64_t{0}}) {
      World::put(Region::kBase + 4096, to_b);
      world.call("sendto", SYS_sendto, a.get(), world.at(9000), 10, 0, world.at(4096), size);
      drain(world, b.get());
    }
    ::send(a.get(), "long enough to be cut", 21, 0);
    world.call("MSG_TRUNC", SYS_recvfrom, b.get(), world.at(9000), 4, MSG_TRUNC, 0, 0);
    ::send(a.get(), "peeked", 6, 0);
    world.call("MSG_PEEK", SYS_recvfrom, b.get(), world.at(9000), ~uint64_t{0}, MSG_PEEK, 0, 0);
    World::put(Region::kBase + 200, 16);
    world.call("a huge size", SYS_recvfrom, b.get(), world.at(9000), 1ull << 40, 0, world.at(100), world.at(200));
    world.call("after", SYS_recvfrom, b.get(), world.at(9000), 100, 0, 0, 0);
  });
}

TEST(MarshalTest, StreamTruncation) {
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
    world.call("with address", SYS_recvfrom, b.get(), world.at(9000), 50, 0, world.at(100), world.at(200));
    // Part of a buffer is bad.
    for (const uint64_t place : World::places(8000)) {
      const std::string bytes(6000, 'x');
      ::send(a.get(), bytes.data(), bytes.size(), 0);
      ::usleep(2000);
      world.call("recv", SYS_recvfrom, b.get(), place, 8000, 0, 0, 0);
      drain(world, b.get(), true);
      world.call("send", SYS_sendto, b.get(), place, 8000, 0, 0, 0);
    }
    ::usleep(100000);
    drain(world, a.get(), true);
  });
}

// Lays out a message at `header`: a name, `vectors` buffers and control space.
void put_message(uint64_t header, uint64_t name, uint32_t namelen, uint64_t vector, uint64_t count,
                 uint64_t control, uint64_t controllen) {
  msghdr message{};
  message.msg_name = reinterpret_cast<void*>(name);
  message.msg_namelen = namelen;
  message.msg_iov = reinterpret_cast<iovec*>(vector);
  message.msg_iovlen = count;
  message.msg_control = reinterpret_cast<void*>(control);
  message.msg_controllen = controllen;
  message.msg_flags = 0x5a5a;
  World::put(header, message);
}

void send_with_options(const Socket& from, int number) {
  const std::string text = "message " + std::to_string(number) + std::string(static_cast<size_t>(number) * 3, '.');
  ::send(from.get(), text.data(), text.size(), 0);
}

Socket udp_with_control(uint16_t port) {
  Socket socket = udp(port);
  const int one = 1;
  ::setsockopt(socket.get(), IPPROTO_IP, IP_RECVTTL, &one, sizeof one);
  ::setsockopt(socket.get(), IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
  ::setsockopt(socket.get(), IPPROTO_IP, IP_RECVTOS, &one, sizeof one);  // one byte: padding behind it
  return socket;
}

TEST(MarshalTest, Messages) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp_with_control(5002);
    constexpr uint64_t kHeader = Region::kBase, kName = kHeader + 256, kControl = kHeader + 512,
                       kVector = kHeader + 1024, kData = kHeader + 16384;
    const auto receive = [&](uint64_t header, uint64_t name, uint32_t namelen, uint64_t vector, uint64_t count,
                             uint64_t control, uint64_t controllen, uint64_t data, int flags) {
      send_with_options(a, 5);
      const iovec buffers[2] = {{reinterpret_cast<void*>(data), 10}, {reinterpret_cast<void*>(data + 100), 50}};
      World::put(vector, buffers);
      put_message(header, name, namelen, vector, count, control, controllen);
      world.call("recvmsg", SYS_recvmsg, b.get(), header, flags);
      world.call("recvmsg of nothing", SYS_recvmsg, b.get(), header, flags);
      drain(world, b.get());
    };
    for (const uint64_t place : World::places(56)) receive(place, kName, 128, kVector, 2, kControl, 200, kData, 0);
    for (const uint64_t place : World::places(16)) receive(kHeader, place, 16, kVector, 2, kControl, 200, kData, 0);
    for (const uint64_t place : World::places(32)) receive(kHeader, kName, 128, place, 2, kControl, 200, kData, 0);
    // The kernel may write into a control message's place and then drop it; its place is good or bad as a whole here.
    for (const uint64_t place : World::places(80)) {
      if (place == Region::kReadOnly - 40 || place == Region::kIslandEnd - 40) continue;
      receive(kHeader, kName, 128, kVector, 2, place, 80, kData, 0);
    }
    for (const uint64_t place : World::places(150)) receive(kHeader, kName, 7, kVector, 2, kControl, 80, place, 0);
    for (const uint32_t n : {0u, 1u, 129u, 0x7fffffffu, 0x80000000u, ~0u}) {
      receive(kHeader, kName, n, kVector, 2, kControl, 200, kData, 0);
    }
    for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{20}, uint64_t{24},
                             uint64_t{50}, uint64_t{1} << 21, uint64_t{1} << 33, ~uint64_t{0}}) {
      receive(kHeader, kName, 128, kVector, 2, kControl, n, kData, 0);
    }
    for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{1024}, uint64_t{1025}, ~uint64_t{0}}) {
      receive(kHeader, kName, 128, kVector, n, kControl, 100, kData, 0);
    }
    receive(kHeader, kName, 128, kVector, 1, kControl, 100, kData, MSG_TRUNC);
    receive(kHeader, kName, 128, kVector, 1, kControl, 100, kData, MSG_PEEK);
    receive(kHeader, 0, 128, kVector, 2, 0, 100, kData, 0);
    // MSG_ERRQUEUE, empty.
    receive(kHeader, kName, 128, kVector, 2, kControl, 200, kData, MSG_ERRQUEUE);
  });
}

TEST(MarshalTest, MessagesSent) {
  compare_ways([](World& world) {
    Socket a = udp(5001), b = udp(5002);
    const sockaddr_in to_b = loopback(5002);
    constexpr uint64_t kHeader = Region::kBase, kName = kHeader + 256, kControl = kHeader + 512,
                       kVector = kHeader + 1024, kData = kHeader + 16384;
    struct alignas(8) {
      uint64_t len = CMSG_LEN(4);
      int level = IPPROTO_IP, type = IP_TTL, ttl = 3;
    } control;
    const auto send = [&](uint64_t header, uint64_t name, uint32_t namelen, uint64_t vector, uint64_t count,
                          uint64_t control_at, uint64_t controllen, uint64_t data) {
      World::put(name, to_b);
      World::put(control_at, control);
      const iovec buffers[2] = {{reinterpret_cast<void*>(data), 10}, {reinterpret_cast<void*>(data + 100), 50}};
      World::put(vector, buffers);
      put_message(header, name, namelen, vector, count, control_at, controllen);
      world.call("sendmsg", SYS_sendmsg, a.get(), header, 0);
      drain(world, b.get());
    };
    for (const uint64_t place : World::places(56)) send(place, kName, 16, kVector, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(16)) send(kHeader, place, 16, kVector, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(32)) send(kHeader, kName, 16, place, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(20)) send(kHeader, kName, 16, kVector, 2, place, 20, kData);
    for (const uint64_t place : World::places(150)) send(kHeader, kName, 16, kVector, 2, kControl, 20, place);
    for (const uint32_t n : {0u, 1u, 129u, 0x80000000u}) send(kHeader, kName, n, kVector, 2, kControl, 20, kData);
    for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{24}, uint64_t{1} << 21, uint64_t{1} << 33}) {
      send(kHeader, kName, 16, kVector, 2, kControl, n, kData);
    }
    for (const uint64_t n : {uint64_t{0}, uint64_t{1025}}) send(kHeader, kName, 16, kVector, n, kControl, 0, kData);
  });
}

TEST(MarshalTest, ManyMessages) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp_with_control(5002);
    constexpr uint64_t kVectors = 1024, kNames = 3000, kControls = 10000, kData = 16000;
    const auto put_array = [&](uint64_t array, uint32_t n, bool with_names) {
      for (uint32_t i = 0; i < n; i++) {
        const uint64_t vector = Region::kBase + kVectors + i * 32;
        const iovec buffers[2] = {{world.at(kData + i * 300), 7}, {world.at(kData + i * 300 + 150), 100}};
        World::put(vector, buffers);
        put_message(array + i * 64, with_names ? Region::kBase + kNames + i * 32 : 0, with_names ? 20 : 0, vector, 2,
                    with_names ? Region::kBase + kControls + i * 100 : 0, with_names ? 90 : 0);
        World::put(array + i * 64 + 56, uint64_t{0x1111111111111111});
      }
    };
    for (const uint64_t place : World::places(5 * 64)) {
      for (const uint64_t timeout : {uint64_t{0}, Region::kBase + 40000, Region::kReadOnly + 16, Region::kNothing}) {
        World::put(timeout, timespec{0, 1000});
        for (int i = 0; i < 3; i++) send_with_options(a, i);
        put_array(place, 5, true);
        const bool half = place == Region::kReadOnly - 160 || place == Region::kIslandEnd - 160;
        const int64_t got = half ? world.call_for_result("recvmmsg", SYS_recvmmsg, b.get(), place, 5, 0, uint64_t{0})
                                 : world.call("recvmmsg", SYS_recvmmsg, b.get(), place, 5, 0, uint64_t{0});
        if (got < 0 && timeout != 0) {
          world.call("recvmmsg with timeout", SYS_recvmmsg, b.get(), place, 5, MSG_WAITFORONE, timeout);
        }
        drain(world, b.get());
      }
      for (const uint32_t count : {0u, 5u}) {
        put_array(place, 5, false);
        world.call("sendmmsg", SYS_sendmmsg, a.get(), place, count, 0);
        drain(world, b.get());
      }
    }
    // One message in the middle is bad.
    for (const uint64_t bad : World::places(100)) {
      for (int i = 0; i < 5; i++) send_with_options(a, i + 3);
      put_array(Region::kBase, 5, true);
      const iovec vector{reinterpret_cast<void*>(bad), 100};
      World::put(Region::kBase + kVectors + 2 * 32, vector);
      if (bad % 4096 == 0 || bad >= Region::kNothing - 50) {
        world.call_for_result("recvmmsg", SYS_recvmmsg, b.get(), world.at(0), 5, 0, 0);
      } else {
        world.call("recvmmsg", SYS_recvmmsg, b.get(), world.at(0), 5, 0, 0);
      }
      drain(world, b.get());
      put_array(Region::kBase, 5, false);
      World::put(Region::kBase + kVectors + 3 * 32, vector);
      world.call("sendmmsg", SYS_sendmmsg, a.get(), world.at(0), 5, 0);
      drain(world, b.get());
    }
    // More of them than there are windows and extents.
    for (int i = 0; i < 60; i++) send_with_options(a, i);
    for (uint64_t i = 0; i < 100; i++) {
      const iovec buffer{world.at(40000 + i * 500), 400};
      World::put(Region::kBase + 20000 + i * 16, buffer);
      put_message(Region::kBase + i * 64, Region::kBase + 10000 + i * 20, 20, Region::kBase + 20000 + i * 16, 1,
                  Region::kBase + 92000 + i * 100, 90);
    }
    world.call("recvmmsg of many", SYS_recvmmsg, b.get(), world.at(0), 100, 0, 0);
    world.call("sendmmsg of many", SYS_sendmmsg, b.get(), world.at(0), 100, 0);
    for (uint64_t i = 0; i < 100; i++) put_message(Region::kBase + i * 64, 0, 0, Region::kBase + 20000 + i * 16, 1, 0, 0);
    world.call("sendmmsg of many", SYS_sendmmsg, a.get(), world.at(0), 100, 0);
    drain(world, b.get());
    for (const uint64_t count : {uint64_t{2000}, uint64_t{0xffffffff}, uint64_t{0x100000001}}) {
      put_array(Region::kBase, 5, false);
      world.call("sendmmsg", SYS_sendmmsg, a.get(), world.at(0), count, 0);
      drain(world, b.get());
    }
  });
}

TEST(MarshalTest, SocketOptions) {
  compare_ways([](World& world) {
    Socket tcp(::socket(AF_INET, SOCK_STREAM, 0));
    const struct { int level, option; } options[] = {
        {SOL_SOCKET, SO_TYPE},     {SOL_SOCKET, SO_LINGER},        {SOL_SOCKET, SO_RCVTIMEO},
        {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_CONGESTION}, {IPPROTO_IP, IP_OPTIONS},
        {SOL_SOCKET, SO_BINDTODEVICE}, {SOL_SOCKET, SO_ERROR},     {SOL_SOCKET, 9999},
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
        world.call("getsockopt", SYS_getsockopt, tcp.get(), o.level, o.option, world.at(4096), world.at(0));
        world.call("setsockopt", SYS_setsockopt, tcp.get(), o.level, o.option, world.at(4096), size);
      }
    }
  });
}

TEST(MarshalTest, OptionsWithPointers) {
  compare_ways([](World& world) {
    Socket socket = udp(5001);
    const sock_filter code[3] = {{0x20, 0, 0, 0xfffff000}, {0x15, 0, 0, 1}, {0x06, 0, 0, 0xffff}};
    const auto attach = [&](uint64_t program, uint64_t filter, uint16_t count) {
      World::put(filter, code);
      struct { uint16_t count; uint16_t pad[3]; uint64_t filter; } value{count, {1, 2, 3}, filter};
      World::put(program, value);
      world.call("attach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, program, 16);
      World::put(Region::kBase + 9000, 3);
      world.call("get", SYS_getsockopt, socket.get(), SOL_SOCKET, SO_GET_FILTER, world.at(9100), world.at(9000));
      world.call("detach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_DETACH_FILTER, program, 4);
    };
    for (const uint64_t place : World::places(16)) attach(place, Region::kBase + 8000, 3);
    for (const uint64_t place : World::places(24)) attach(Region::kBase, place, 3);
    for (const uint16_t count : {uint16_t{0}, uint16_t{1}, uint16_t{4}, uint16_t{4096}, uint16_t{65535}}) {
      attach(Region::kBase, Region::kBase + 8000, count);
    }
    // The kernel sees ints, whatever the registers hold above them.
    World::put(Region::kBase + 8000, code);
    struct { uint64_t count, filter; } value{3, Region::kBase + 8000};
    World::put(Region::kBase, value);
    world.call("attach", SYS_setsockopt, socket.get(), (uint64_t{7} << 32) | SOL_SOCKET,
               (uint64_t{7} << 32) | SO_ATTACH_FILTER, world.at(0), (uint64_t{7} << 32) | 16);
    world.call("detach", SYS_setsockopt, socket.get(), SOL_SOCKET, SO_DETACH_FILTER, world.at(0), 4);
    auto [a, b] = tcp_pair(5100);
    ::send(a.get(), "zero copy", 9, 0);
    ::usleep(2000);
    struct { uint64_t address = 0; uint32_t words[4]{0, 0, 0, 0}; uint64_t copy = Region::kBase + 3000;
             int32_t copy_len = 0; uint32_t flags = 0; uint64_t rest[3]{}; } zero_copy;
    World::put(Region::kBase, 40);
    World::put(Region::kBase + 100, zero_copy);
    world.call("TCP_ZEROCOPY_RECEIVE", SYS_getsockopt, b.get(), IPPROTO_TCP, 35, world.at(100), world.at(0));
  });
}

TEST(MarshalTest, Ioctls) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp(5002);
    ::send(a.get(), "twelve bytes", 12, 0);
    for (const uint64_t place : World::places(4)) {
      World::put(place, 0);
      world.call("FIONREAD", SYS_ioctl, b.get(), FIONREAD, place);
      world.call("FIONBIO", SYS_ioctl, b.get(), FIONBIO, place);
      world.call("SIOCGPGRP", SYS_ioctl, b.get(), SIOCGPGRP, place);
      world.call("unknown", SYS_ioctl, b.get(), 0x5500, place);
      world.call("unknown _IOWR", SYS_ioctl, b.get(), 0xc0105501, place);
    }
    for (const uint64_t place : World::places(40)) {
      ifreq request{};
      std::strcpy(request.ifr_name, "lo");
      for (const unsigned nr : {SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFTXQLEN,
                                SIOCGIFMAP, SIOCSIFFLAGS, SIOCGIFVLAN, SIOCETHTOOL, SIOCDEVPRIVATE, 0x8b01}) {
        request.ifr_flags = IFF_UP;
        World::put(place, request);
        world.call("ifreq", SYS_ioctl, a.get(), nr, place);
      }
    }
    for (const uint64_t place : World::places(16)) {
      for (const uint64_t buffer : World::other_places(40)) {
        for (const int32_t size : {0, 39, 40, 41, 400, -1}) {
          struct { int32_t size; int32_t pad; uint64_t buffer; } conf{size, 0x77, buffer};
          World::put(place, conf);
          world.call("SIOCGIFCONF", SYS_ioctl, a.get(), SIOCGIFCONF, place);
        }
      }
    }
    for (const uint64_t place : World::places(40)) {
      for (const uint64_t data : World::other_places(196)) {
        for (const uint32_t command : {3u, 10u, 65u, 0x7777u}) {
          ifreq request{};
          std::strcpy(request.ifr_name, "lo");
          request.ifr_data = reinterpret_cast<char*>(data);
          World::put(place, request);
          World::put(data, command);
          world.call("SIOCETHTOOL", SYS_ioctl, a.get(), SIOCETHTOOL, place);
        }
      }
    }
    for (const uint64_t device : World::places(15)) {
      World::put(device, "lo", 3);
      struct { uint64_t pad; sockaddr_in to; sockaddr gateway; sockaddr_in mask; uint16_t flags, pad2; uint32_t pad3;
               uint64_t rest[3]; uint64_t device; uint64_t more[3]; } route{};
      static_assert(sizeof route == 120);
      route.to.sin_family = AF_INET;
      route.to.sin_addr.s_addr = htonl(0x0a090807);
      route.mask.sin_family = AF_INET;
      route.mask.sin_addr.s_addr = 0xffffffff;
      route.flags = 5;  // RTF_UP | RTF_HOST
      route.device = device;
      World::put(Region::kBase + 200, route);
      world.call("SIOCADDRT", SYS_ioctl, a.get(), SIOCADDRT, world.at(200));
      world.call("SIOCDELRT", SYS_ioctl, a.get(), SIOCDELRT, world.at(200));
    }
  });
}

TEST(MarshalTest, Readiness) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp(5002);
    Socket epoll(::epoll_create1(0));
    // The host's business, and good here: what the device gets is NULL.
    constexpr uint64_t kMask = Region::kBase + 2000, kMaskPair = Region::kBase + 2008;
    World::put(kMask, uint64_t{0});
    const uint64_t pair[2] = {kMask, 8};
    World::put(kMaskPair, pair);
    ::send(a.get(), "ready", 5, 0);
    for (const uint64_t place : World::places(24)) {
      const pollfd fds[3] = {{a.get(), POLLIN | POLLOUT, 0x77}, {b.get(), POLLIN, 0x77}, {-1, POLLIN, 0x77}};
      World::put(place, fds);
      world.call("poll", SYS_poll, place, 3, 0);
      for (const uint64_t timeout : World::other_places(16)) {
        World::put(timeout, timespec{0, 0});
        World::put(place, fds);
        world.call("ppoll", SYS_ppoll, place, 3, timeout, kMask, 8);
      }
    }
    for (const uint64_t count : {uint64_t{0}, uint64_t{1} << 20, uint64_t{0xffffffff}}) {
      if (count != uint64_t{1} << 20) world.call("poll", SYS_poll, world.at(0), count, 0);
    }
    for (const uint64_t place : World::places(128)) {
      for (const uint64_t other : World::other_places(128)) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(b.get(), &set);
        FD_SET(a.get(), &set);
        World::put(place, set);
        World::put(other, set);
        World::put(Region::kBase + 400, timeval{0, 0});
        world.call("select", SYS_select, 40, place, other, uint64_t{0}, world.at(400));
      }
      // A timeout that cannot be written back is no error.
      fd_set set;
      FD_ZERO(&set);
      FD_SET(b.get(), &set);
      World::put(Region::kBase, set);
      World::put(place, timeval{0, 0});
      world.call("select", SYS_select, 40, world.at(0), uint64_t{0}, uint64_t{0}, place);
      World::put(Region::kBase, set);
      world.call("pselect6", SYS_pselect6, 40, world.at(0), uint64_t{0}, uint64_t{0}, place, kMaskPair);
    }
    for (const int64_t bits : {int64_t{-1}, int64_t{0}, int64_t{1}}) {
      world.call("select", SYS_select, bits, world.at(0), world.at(0), uint64_t{0}, world.at(400));
    }
    for (const uint64_t place : World::places(12)) {
      epoll_event event{EPOLLIN, {.u64 = 0x1122334455667788}};
      World::put(place, event);
      world.call("epoll_ctl", SYS_epoll_ctl, epoll.get(), EPOLL_CTL_ADD, b.get(), place);
      world.call("epoll_ctl", SYS_epoll_ctl, epoll.get(), EPOLL_CTL_MOD, b.get(), place);
      world.call("epoll_wait", SYS_epoll_wait, epoll.get(), place, 1, 0);
      world.call("epoll_pwait", SYS_epoll_pwait, epoll.get(), place, 10, 0, kMask, 8);
      World::put(Region::kBase + 400, timespec{0, 0});
      world.call("epoll_pwait2", SYS_epoll_pwait2, epoll.get(), world.at(600), 3, world.at(400), uint64_t{0}, 8);
      if (place != 0) world.call("epoll_pwait2", SYS_epoll_pwait2, epoll.get(), world.at(600), 3, place, uint64_t{0}, 8);
      world.call("epoll_ctl", SYS_epoll_ctl, epoll.get(), EPOLL_CTL_DEL, b.get(), place);
    }
    for (const int64_t count : {int64_t{0}, int64_t{-1}, int64_t{1} << 24, int64_t{1} << 30}) {
      world.call("epoll_wait", SYS_epoll_wait, epoll.get(), world.at(0), count, 0);
    }
  });
}

TEST(MarshalTest, Paths) {
  ::mkdir("/tmp/mino-marshal-test", 0700);
  ::close(::open("/tmp/mino-marshal-test/file", O_CREAT | O_RDWR, 0600));
  ::unlink("/tmp/mino-marshal-test/link");
  ASSERT_EQ(::symlink("/some/where/else", "/tmp/mino-marshal-test/link"), 0);
  compare_ways([](World& world) {
    const std::string file = "/tmp/mino-marshal-test/file", link = "/tmp/mino-marshal-test/link";
    const auto opened = [](int64_t fd) {
      if (fd >= 0) ::close(static_cast<int>(fd));
    };
    for (const uint64_t path : World::places(file.size() + 1)) {
      World::put(path, file.c_str(), file.size() + 1);
      opened(world.call("openat", SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
      opened(world.call("open", SYS_open, path, O_RDONLY, 0));
      world.call("access", SYS_access, path, R_OK);
      world.call("utimensat", SYS_utimensat, AT_FDCWD, path, world.at(30000), AT_EMPTY_PATH);
      for (const uint64_t to : World::other_places(144)) {
        World::put(path, file.c_str(), file.size() + 1);
        world.call("newfstatat", SYS_newfstatat, AT_FDCWD, path, to, 0);
        World::put(path, link.c_str(), link.size() + 1);
        world.call("readlinkat", SYS_readlinkat, AT_FDCWD, path, to, 50);
        world.call("readlink", SYS_readlink, path, to, 5);
      }
      for (const uint64_t to : World::other_places(256)) {
        World::put(path, file.c_str(), file.size() + 1);
        world.call("statx", SYS_statx, AT_FDCWD, path, 0, 0x7ff, to);
      }
      World::put(path, "", 1);
      world.call("empty", SYS_newfstatat, 0, path, world.at(30000), 0);
    }
    for (const uint64_t how : World::places(24)) {
      for (const uint64_t size : {uint64_t{0}, uint64_t{8}, uint64_t{24}, uint64_t{32}, uint64_t{5000}, ~uint64_t{0}}) {
        World::put(Region::kBase, file.c_str(), file.size() + 1);
        World::put(how, open_how{O_RDONLY, 0, 0});
        opened(world.call("openat2", SYS_openat2, AT_FDCWD, world.at(0), how, size));
      }
    }
    // A path that does not end, and one that ends at the end of memory.
    std::memset(world.at(0), 'x', 8192);
    opened(world.call("long", SYS_openat, AT_FDCWD, world.at(0), O_RDONLY, 0));
    std::memset(world.at(0), '/', 4095);
    world.at<char>(0)[4095] = 0;
    opened(world.call("longest", SYS_openat, AT_FDCWD, world.at(0), O_RDONLY, 0));
    std::memset(reinterpret_cast<void*>(Region::kIsland), 'y', 8192);
    opened(world.call("endless", SYS_openat, AT_FDCWD, Region::kIslandEnd - 100, O_RDONLY, 0));
    for (const uint64_t place : World::places(64)) {
      world.call("getcwd", SYS_getcwd, place, 64);
      world.call("getcwd", SYS_getcwd, place, 1);
      World::put(Region::kBase, file.c_str(), file.size() + 1);
      world.call("statfs bad", SYS_statfs, world.at(0), Region::kNothing);
      World::put(Region::kBase + 100, "user.none", 10);
      world.call("getxattr", SYS_getxattr, world.at(0), world.at(100), place, 64);
      world.call("getxattr", SYS_getxattr, world.at(0), place, world.at(300), 64);
    }
    Socket directory(::open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY));
    for (const uint64_t place : World::places(100)) {
      ::lseek(directory.get(), 0, SEEK_SET);
      // The padding behind a name is whatever was there: nobody reads it.
      world.call_for_result("getdents64", SYS_getdents64, directory.get(), place, 60);
    }
    Socket locked(::open(file.c_str(), O_RDWR));
    for (const uint64_t place : World::places(32)) {
      struct flock lock{};
      lock.l_type = F_WRLCK;
      lock.l_len = 10;
      World::put(place, lock);
      world.call("F_GETLK", SYS_fcntl, locked.get(), F_GETLK, place);
      world.call("F_SETLK", SYS_fcntl, locked.get(), F_SETLK, place);
      world.call("F_GETOWN_EX", SYS_fcntl, locked.get(), F_GETOWN_EX, place);
      world.call("F_OFD_GETLK", SYS_fcntl, locked.get(), F_OFD_GETLK, place);
    }
    world.call("F_GETFL", SYS_fcntl, locked.get(), F_GETFL, 0);
    world.call("F_SETOWN", SYS_fcntl, locked.get(), F_SETOWN, -1);
    world.call("unknown", SYS_fcntl, locked.get(), 1999, Region::kBase);
    for (const uint64_t place : World::places(8)) {
      World::put(place, uint64_t{3});
      TempFile from(100), to(10);
      world.call("sendfile", SYS_sendfile, to.fd, from.fd, place, 20);
      world.call("copy_file_range", SYS_copy_file_range, from.fd, place, to.fd, world.at(800), 5, 0);
    }
  });
  ::unlink("/tmp/mino-marshal-test/link");
  ::unlink("/tmp/mino-marshal-test/file");
  ::rmdir("/tmp/mino-marshal-test");
}

}  // namespace
}  // namespace mino
