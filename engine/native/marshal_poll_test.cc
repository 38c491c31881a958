// SPDX-License-Identifier: Apache-2.0
//
// poll, select and epoll through the marshal, compared with the direct calls.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "engine/native/testing/sockets.h"

namespace mino {
namespace {

TEST(MarshalPollTest, Readiness) {
  compare_ways([](World& world) {
    Socket a = udp(5001, 5002), b = udp(5002);
    Socket epoll(::epoll_create1(0));
    // Both are used on the host, and are good here. The device gets NULL.
    const uint64_t kMask = Region::kBase + 2000, kMaskPair = Region::kBase + 2008;
    World::put(kMask, uint64_t{0});
    const uint64_t pair[2] = {kMask, 8};
    World::put(kMaskPair, pair);
    ::send(a.get(), "ready", 5, 0);
    for (const uint64_t place : World::places(24)) {
      const pollfd fds[3] = {
          {a.get(), POLLIN | POLLOUT, 0x77}, {b.get(), POLLIN, 0x77}, {-1, POLLIN, 0x77}};
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
      // A timeout that cannot be written back is not an error.
      fd_set set;
      FD_ZERO(&set);
      FD_SET(b.get(), &set);
      World::put(Region::kBase, set);
      World::put(place, timeval{0, 0});
      world.call("select", SYS_select, 40, world.at(0), uint64_t{0}, uint64_t{0}, place);
      World::put(Region::kBase, set);
      world.call("pselect6", SYS_pselect6, 40, world.at(0), uint64_t{0}, uint64_t{0}, place,
                 kMaskPair);
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
      world.call("epoll_pwait2", SYS_epoll_pwait2, epoll.get(), world.at(600), 3, world.at(400),
                 uint64_t{0}, 8);
      if (place != 0)
        world.call("epoll_pwait2", SYS_epoll_pwait2, epoll.get(), world.at(600), 3, place,
                   uint64_t{0}, 8);
      world.call("epoll_ctl", SYS_epoll_ctl, epoll.get(), EPOLL_CTL_DEL, b.get(), place);
    }
    for (const int64_t count : {int64_t{0}, int64_t{-1}, int64_t{1} << 24, int64_t{1} << 30}) {
      world.call("epoll_wait", SYS_epoll_wait, epoll.get(), world.at(0), count, 0);
    }
  });
}

}  // namespace
}  // namespace mino
