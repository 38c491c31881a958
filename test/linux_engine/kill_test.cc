// SPDX-License-Identifier: Apache-2.0
//
// Clients killed at random moments in the middle of their work, a thousand of them. Afterwards the
// kernel must have the tasks, sockets and memory that it had before, and its process the same
// descriptors. MINO_KILLS says how many.
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <string>

#include "test/linux_engine/device.h"

namespace mino::test {
namespace {

// A file in the instance, as a client reads it.
std::string read_on_device(LaneClient& lane, const char* path) {
  std::string text(16384, '\0');
  EXPECT_EQ(lane.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(path), O_RDONLY, 0}, 30),
            30)
      << path;
  size_t size = 0;
  for (;;) {
    const int64_t n = lane.call(SYS_read, {30, ptr(text.data() + size), text.size() - size});
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  EXPECT_EQ(lane.call(SYS_close, {30}), 0);
  text.resize(size);
  return text;
}

// Connections in TIME_WAIT stay for a minute, and are no leak.
void keep_no_time_wait(LaneClient& lane) {
  const char path[] = "/proc/sys/net/ipv4/tcp_max_tw_buckets";
  ASSERT_EQ(lane.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(path), O_WRONLY}, 30), 30);
  EXPECT_EQ(lane.call(SYS_write, {30, ptr("0"), 1}), 1);
  EXPECT_EQ(lane.call(SYS_close, {30}), 0);
}

struct Held {
  long tasks = 0, sockets = 0, slab_kib = 0, host_files = 0;
};

long number_after(const std::string& text, const std::string& word) {
  const size_t at = text.find(word);
  return at == std::string::npos ? -1 : std::atol(text.c_str() + at + word.size());
}

Held held(LaneClient& lane) {
  Held now;
  now.tasks = number_after(read_on_device(lane, "/proc/loadavg"), "/");
  now.sockets = number_after(read_on_device(lane, "/proc/net/sockstat"), "sockets: used ");
  now.slab_kib = number_after(read_on_device(lane, "/proc/meminfo"), "Slab:");
  const char* instance = std::getenv("MINO_INSTANCE");
  EXPECT_NE(instance, nullptr);
  const std::filesystem::directory_iterator files(std::string("/proc/") + instance + "/fd");
  now.host_files = std::distance(begin(files), end(files));
  return now;
}

// Makes a packet ring, which is memory of the host.
void make_ring(LaneClient& lane) {
  tpacket_req ring{4096, 8, 2048, 16};
  lane.call(SYS_socket, {AF_PACKET, SOCK_DGRAM, 0}, 40);
  EXPECT_EQ(lane.call(SYS_setsockopt, {40, SOL_PACKET, PACKET_RX_RING, ptr(&ring), sizeof ring}),
            0);
  EXPECT_EQ(lane.op(abi::Op::kMap, {40, 4096 * 8}), 0);
}

// Uses sockets, connections, epoll and blocked calls until it is killed.
[[noreturn]] void work(uint32_t seed) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Session session(Options{4, 64 << 10}, device());
  const auto lane_work = [&session](uint32_t index) {
    LaneClient lane(session, index);
    const uint64_t base = 10 + 10 * index;
    char bytes[2000] = "bytes";
    for (;;) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, static_cast<int>(base));
      lane.call(SYS_listen, {base, 4});
      lane.call(SYS_getsockname, {base, ptr(&address), ptr(&size)});
      lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, static_cast<int>(base + 1));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      lane.call(SYS_connect, {base + 1, ptr(&address), 16});
      lane.call(SYS_accept4, {base, 0, 0, 0}, static_cast<int>(base + 2));
      lane.call(SYS_epoll_create1, {0}, static_cast<int>(base + 3));
      epoll_event event{EPOLLIN, {}};
      lane.call(SYS_epoll_ctl, {base + 3, EPOLL_CTL_ADD, base + 2, ptr(&event)});
      lane.call(SYS_sendto, {base + 1, ptr(bytes), sizeof bytes, 0, 0, 0});
      lane.call(SYS_epoll_wait, {base + 3, ptr(&event), 1, 100});
      lane.call(SYS_recvfrom, {base + 2, ptr(bytes), sizeof bytes, 0, 0, 0});
      if (index == 0) lane.call(SYS_recvfrom, {base + 2, ptr(bytes), sizeof bytes, 0, 0, 0});
      for (uint64_t fd = base; fd < base + 4; fd++) lane.call(SYS_close, {fd});
    }
  };
  std::thread other(lane_work, 1);
  if (seed % 2 == 0) {
    LaneClient forker(session, 2);
    forker.op(abi::Op::kFork);  // nobody takes the child: it ends with its connection
  }
  if (seed % 3 == 0) {
    LaneClient packets(session, 3);
    make_ring(packets);
  }
  lane_work(0);
  std::abort();
}

void kill_clients(int count) {
  std::mt19937 random(7);
  for (int i = 0; i < count; i++) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);  // kill(-1) would be for every process
    if (child == 0) work(static_cast<uint32_t>(i));
    ::usleep(static_cast<useconds_t>(random() % 8000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

TEST(Kill, NothingIsLeft) {
  const char* kills = std::getenv("MINO_KILLS");
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  const auto settled = [&lane](const Held& like) {
    Held now;
    for (int i = 0; i < 100; i++) {
      now = held(lane);
      if (now.tasks <= like.tasks && now.sockets <= like.sockets &&
          now.host_files <= like.host_files) {
        break;
      }
      ::usleep(100'000);
    }
    return now;
  };
  keep_no_time_wait(lane);
  const Held before = held(lane);
  kill_clients(200);  // caches fill
  const Held warm = settled(before);
  EXPECT_EQ(warm.tasks, before.tasks);
  EXPECT_EQ(warm.sockets, before.sockets);
  kill_clients(kills != nullptr ? std::atoi(kills) : 1000);
  const Held after = settled(before);
  std::printf("tasks %ld, %ld, %ld; sockets %ld, %ld, %ld; slab %ld, %ld, %ld KiB\n", before.tasks,
              warm.tasks, after.tasks, before.sockets, warm.sockets, after.sockets, before.slab_kib,
              warm.slab_kib, after.slab_kib);
  EXPECT_EQ(after.tasks, before.tasks);
  EXPECT_EQ(after.sockets, before.sockets);
  EXPECT_EQ(after.host_files, before.host_files);
  EXPECT_LT(after.slab_kib, warm.slab_kib + 1024);  // a leak of one page a client would be 4000
}

}  // namespace
}  // namespace mino::test
