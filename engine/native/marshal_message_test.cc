// SPDX-License-Identifier: Apache-2.0
//
// sendmsg, recvmsg, sendmmsg and recvmmsg through the marshal, compared with the direct calls.
#include <netinet/ip.h>
#include <sys/uio.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

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
  const std::string text =
      "message " + std::to_string(number) + std::string(static_cast<size_t>(number) * 3, '.');
  ::send(from.get(), text.data(), text.size(), 0);
}

Socket udp_with_control(uint16_t port) {
  Socket socket = udp(port);
  const int one = 1;
  ::setsockopt(socket.get(), IPPROTO_IP, IP_RECVTTL, &one, sizeof one);
  ::setsockopt(socket.get(), IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
  ::setsockopt(socket.get(), IPPROTO_IP, IP_RECVTOS, &one,
               sizeof one);  // one byte, with padding behind it
  return socket;
}

TEST(MarshalMessageTest, Messages) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp_with_control(5002);
    const uint64_t kHeader = Region::kBase, kName = kHeader + 256, kControl = kHeader + 512,
                   kVector = kHeader + 1024, kData = kHeader + 16384;
    const auto receive = [&](uint64_t header, uint64_t name, uint32_t namelen, uint64_t vector,
                             uint64_t count, uint64_t control, uint64_t controllen, uint64_t data,
                             int flags) {
      send_with_options(a, 5);
      const iovec buffers[2] = {{reinterpret_cast<void*>(data), 10},
                                {reinterpret_cast<void*>(data + 100), 50}};
      World::put(vector, buffers);
      put_message(header, name, namelen, vector, count, control, controllen);
      world.call("recvmsg", SYS_recvmsg, b.get(), header, flags);
      world.call("recvmsg of nothing", SYS_recvmsg, b.get(), header, flags);
      drain(world, b.get());
    };
    for (const uint64_t place : World::places(56))
      receive(place, kName, 128, kVector, 2, kControl, 200, kData, 0);
    for (const uint64_t place : World::places(16))
      receive(kHeader, place, 16, kVector, 2, kControl, 200, kData, 0);
    for (const uint64_t place : World::places(32))
      receive(kHeader, kName, 128, place, 2, kControl, 200, kData, 0);
    // The kernel may write into the place of a control message and then drop it. So here, the place
    // is good or bad as a whole.
    for (const uint64_t place : World::places(80)) {
      if (place == Region::kReadOnly - 40 || place == Region::kIslandEnd - 40) continue;
      receive(kHeader, kName, 128, kVector, 2, place, 80, kData, 0);
    }
    for (const uint64_t place : World::places(150))
      receive(kHeader, kName, 7, kVector, 2, kControl, 80, place, 0);
    for (const uint32_t n : {0u, 1u, 129u, 0x7fffffffu, 0x80000000u, ~0u}) {
      receive(kHeader, kName, n, kVector, 2, kControl, 200, kData, 0);
    }
    for (const uint64_t n :
         {uint64_t{0}, uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{20}, uint64_t{24},
          uint64_t{50}, uint64_t{1} << 21, uint64_t{1} << 33, ~uint64_t{0}}) {
      receive(kHeader, kName, 128, kVector, 2, kControl, n, kData, 0);
    }
    for (const uint64_t n :
         {uint64_t{0}, uint64_t{1}, uint64_t{1024}, uint64_t{1025}, ~uint64_t{0}}) {
      receive(kHeader, kName, 128, kVector, n, kControl, 100, kData, 0);
    }
    receive(kHeader, kName, 128, kVector, 1, kControl, 100, kData, MSG_TRUNC);
    receive(kHeader, kName, 128, kVector, 1, kControl, 100, kData, MSG_PEEK);
    receive(kHeader, 0, 128, kVector, 2, 0, 100, kData, 0);
    // MSG_ERRQUEUE, empty.
    receive(kHeader, kName, 128, kVector, 2, kControl, 200, kData, MSG_ERRQUEUE);
  });
}

TEST(MarshalMessageTest, MessagesSent) {
  compare_ways([](World& world) {
    Socket a = udp(5001), b = udp(5002);
    const sockaddr_in to_b = loopback(5002);
    const uint64_t kHeader = Region::kBase, kName = kHeader + 256, kControl = kHeader + 512,
                   kVector = kHeader + 1024, kData = kHeader + 16384;
    struct alignas(8) {
      uint64_t len = CMSG_LEN(4);
      int level = IPPROTO_IP, type = IP_TTL, ttl = 3, padding = 0;
    } control;
    const auto send = [&](uint64_t header, uint64_t name, uint32_t namelen, uint64_t vector,
                          uint64_t count, uint64_t control_at, uint64_t controllen, uint64_t data) {
      World::put(name, to_b);
      World::put(control_at, control);
      const iovec buffers[2] = {{reinterpret_cast<void*>(data), 10},
                                {reinterpret_cast<void*>(data + 100), 50}};
      World::put(vector, buffers);
      put_message(header, name, namelen, vector, count, control_at, controllen);
      world.call("sendmsg", SYS_sendmsg, a.get(), header, 0);
      drain(world, b.get());
    };
    for (const uint64_t place : World::places(56))
      send(place, kName, 16, kVector, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(16))
      send(kHeader, place, 16, kVector, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(32))
      send(kHeader, kName, 16, place, 2, kControl, 20, kData);
    for (const uint64_t place : World::places(20))
      send(kHeader, kName, 16, kVector, 2, place, 20, kData);
    for (const uint64_t place : World::places(150))
      send(kHeader, kName, 16, kVector, 2, kControl, 20, place);
    for (const uint32_t n : {0u, 1u, 129u, 0x80000000u})
      send(kHeader, kName, n, kVector, 2, kControl, 20, kData);
    for (const uint64_t n :
         {uint64_t{0}, uint64_t{1}, uint64_t{24}, uint64_t{1} << 21, uint64_t{1} << 33}) {
      send(kHeader, kName, 16, kVector, 2, kControl, n, kData);
    }
    for (const uint64_t n : {uint64_t{0}, uint64_t{1025}})
      send(kHeader, kName, 16, kVector, n, kControl, 0, kData);
  });
}

TEST(MarshalMessageTest, ManyMessages) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp_with_control(5002);
    constexpr uint64_t kVectors = 1024, kNames = 3000, kControls = 10000, kData = 16000;
    const auto put_array = [&](uint64_t array, uint32_t n, bool with_names) {
      for (uint32_t i = 0; i < n; i++) {
        const uint64_t vector = Region::kBase + kVectors + i * 32;
        const iovec buffers[2] = {{world.at(kData + i * 300), 7},
                                  {world.at(kData + i * 300 + 150), 100}};
        World::put(vector, buffers);
        put_message(array + i * 64, with_names ? Region::kBase + kNames + i * 32 : 0,
                    with_names ? 20 : 0, vector, 2,
                    with_names ? Region::kBase + kControls + i * 100 : 0, with_names ? 90 : 0);
        World::put(array + i * 64 + 56, uint64_t{0x1111111111111111});
      }
    };
    for (const uint64_t place : World::places(5 * 64)) {
      for (const uint64_t timeout :
           {uint64_t{0}, Region::kBase + 40000, Region::kReadOnly + 16, Region::kNothing}) {
        World::put(timeout, timespec{0, 1000});
        for (int i = 0; i < 3; i++) send_with_options(a, i);
        put_array(place, 5, true);
        const bool half = place == Region::kReadOnly - 160 || place == Region::kIslandEnd - 160;
        const int64_t got =
            half
                ? world.call_for_result("recvmmsg", SYS_recvmmsg, b.get(), place, 5, 0, uint64_t{0})
                : world.call("recvmmsg", SYS_recvmmsg, b.get(), place, 5, 0, uint64_t{0});
        if (got < 0 && timeout != 0) {
          world.call("recvmmsg with timeout", SYS_recvmmsg, b.get(), place, 5, MSG_WAITFORONE,
                     timeout);
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
    // More messages than there are windows and extents.
    for (int i = 0; i < 60; i++) send_with_options(a, i);
    for (uint64_t i = 0; i < 100; i++) {
      const iovec buffer{world.at(40000 + i * 500), 400};
      World::put(Region::kBase + 20000 + i * 16, buffer);
      put_message(Region::kBase + i * 64, Region::kBase + 10000 + i * 20, 20,
                  Region::kBase + 20000 + i * 16, 1, Region::kBase + 92000 + i * 100, 90);
    }
    world.call("recvmmsg of many", SYS_recvmmsg, b.get(), world.at(0), 100, 0, 0);
    world.call("sendmmsg of many", SYS_sendmmsg, b.get(), world.at(0), 100, 0);
    for (uint64_t i = 0; i < 100; i++)
      put_message(Region::kBase + i * 64, 0, 0, Region::kBase + 20000 + i * 16, 1, 0, 0);
    world.call("sendmmsg of many", SYS_sendmmsg, a.get(), world.at(0), 100, 0);
    drain(world, b.get());
    for (const uint64_t count : {uint64_t{2000}, uint64_t{0xffffffff}, uint64_t{0x100000001}}) {
      put_array(Region::kBase, 5, false);
      world.call("sendmmsg", SYS_sendmmsg, a.get(), world.at(0), count, 0);
      drain(world, b.get());
    }
  });
}

}  // namespace
}  // namespace mino
