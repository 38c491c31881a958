// SPDX-License-Identifier: Apache-2.0
//
// ioctl through the marshal, compared with the direct calls.
#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

TEST(MarshalIoctlTest, Ioctls) {
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
      for (const int nr :
           {SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFTXQLEN,
            SIOCGIFMAP, SIOCSIFFLAGS, SIOCGIFVLAN, SIOCETHTOOL, SIOCDEVPRIVATE, 0x8b01}) {
        request.ifr_flags = IFF_UP;
        World::put(place, request);
        world.call("ifreq", SYS_ioctl, a.get(), nr, place);
      }
    }
    for (const uint64_t place : World::places(16)) {
      for (const uint64_t buffer : World::other_places(40)) {
        for (const int32_t size : {0, 39, 40, 41, 400, -1}) {
          struct {
            int32_t size;
            int32_t pad;
            uint64_t buffer;
          } conf{size, 0x77, buffer};
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
      struct {
        uint64_t pad;
        sockaddr_in to;
        sockaddr gateway;
        sockaddr_in mask;
        uint16_t flags, pad2;
        uint32_t pad3;
        uint64_t rest[3];
        uint64_t device;
        uint64_t more[3];
      } route{};
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

}  // namespace
}  // namespace mino
