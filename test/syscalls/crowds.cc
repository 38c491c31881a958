// SPDX-License-Identifier: Apache-2.0
//
// Many threads that use sockets, and programs that limit their own memory: neither may find limits
// that are not their own. It runs once more with a device that has few lanes for each session
// (CMakeLists.txt).

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <memory>
#include <vector>

#include "children.h"
#include "loopback.h"

extern char** environ;

namespace {

constexpr size_t kStack = 64 << 10;

// Threads on small stacks; natively a thousand of them fit anywhere.
class Crowd {
 public:
  template <class Body>
  Crowd(size_t count, Body body) : threads_(count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStack);
    using Start = std::pair<Body, size_t>;
    for (size_t i = 0; i < count; i++) {
      auto* start = new Start(body, i);
      const int error = pthread_create(
          &threads_[i], &attributes,
          [](void* argument) -> void* {
            const std::unique_ptr<Start> own(static_cast<Start*>(argument));
            own->first(own->second);
            return nullptr;
          },
          start);
      EXPECT_EQ(error, 0);
    }
    pthread_attr_destroy(&attributes);
  }
  void join() {
    for (pthread_t thread : threads_) pthread_join(thread, nullptr);
    threads_.clear();
  }

 private:
  std::vector<pthread_t> threads_;
};

bool peer_sees_the_end(int fd) {
  pollfd end = {fd, POLLIN, 0};
  char byte;
  return poll(&end, 1, 10'000) == 1 && recv(fd, &byte, 1, 0) == 0;
}

// What must work however many threads there are.
void use_the_device() {
  const Pair pair = tcp_pair();
  std::thread([&] {
    EXPECT_EQ(option(pair.a, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    EXPECT_EQ(close(pair.a), 0);
  }).join();
  EXPECT(peer_sees_the_end(pair.b));
  const pid_t pid = child([&] {
    const Pair own = tcp_pair();
    EXPECT_EQ(send(own.a, "x", 1, 0), 1);
    EXPECT_EQ(close(own.a), 0);
    char got[2];
    EXPECT_EQ(recv(own.b, got, 2, MSG_WAITALL), 1);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(close(pair.b), 0);
}

// All wait for a datagram, each for its own.
void blocked_at_once(size_t count) {
  const Pair pair = udp_pair();
  std::atomic<size_t> waiting{0}, good{0};
  Crowd crowd(count, [&](size_t) {
    char byte = 0;
    waiting++;
    if (recv(pair.b, &byte, 1, 0) == 1 && byte == 'd') good++;
  });
  while (waiting < count) sleep_ms(1);
  use_the_device();
  for (size_t sent = 0; sent < count; sent++) {
    EXPECT_EQ(send(pair.a, "d", 1, 0), 1);
    while (good + 50 < sent) sleep_ms(1);  // the receive buffer is small
  }
  crowd.join();
  EXPECT_EQ(good.load(), count);
}

size_t address_space() {
  FILE* file = fopen("/proc/self/statm", "r");
  size_t pages = 0;
  EXPECT_EQ(fscanf(file, "%zu", &pages), 1);
  fclose(file);
  return pages * 4096;
}

void limit(int resource, size_t bytes) {
  rlimit value;
  OK(getrlimit(resource, &value));
  value.rlim_cur = bytes;
  OK(setrlimit(resource, &value));
}

}  // namespace

TEST(two_hundred_blocked_in_recv) {
  blocked_at_once(200);
}

TEST(blocked_in_poll_with_a_pipe) {
  constexpr size_t kThreads = 150;
  const Pair pair = udp_pair();
  int ends[2];
  OK(pipe(ends));
  std::atomic<size_t> waiting{0}, good{0};
  Crowd crowd(kThreads, [&](size_t) {
    pollfd both[2] = {{pair.b, POLLIN, 0}, {ends[0], POLLIN, 0}};
    waiting++;
    if (poll(both, 2, 15'000) == 1 && both[0].revents == 0 && both[1].revents == POLLHUP) good++;
  });
  while (waiting < kThreads) sleep_ms(1);
  use_the_device();
  close(ends[1]);
  crowd.join();
  EXPECT_EQ(good.load(), kThreads);
}

TEST(signal_to_one_of_many) {
  constexpr size_t kThreads = 150;
  on_signal(SIGUSR1, [](int) {});
  const Pair pair = udp_pair();
  std::atomic<size_t> waiting{0}, interrupted{0};
  std::vector<std::atomic<pthread_t>> ids(kThreads);
  Crowd crowd(kThreads, [&](size_t i) {
    ids[i] = pthread_self();
    waiting++;
    char byte;
    if (recv(pair.b, &byte, 1, 0) == -1 && errno == EINTR) interrupted++;
  });
  while (waiting < kThreads) sleep_ms(1);
  for (size_t i = 0; i < kThreads; i++) {
    while (interrupted == i) {
      pthread_kill(ids[i], SIGUSR1);
      sleep_ms(1);
    }
  }
  crowd.join();
  EXPECT_EQ(interrupted.load(), kThreads);
}

TEST(threads_that_were_on_the_device) {
  constexpr size_t kThreads = 200;
  const int udp = bound(SOCK_DGRAM, loopback());
  std::atomic<size_t> idle{0}, good{0};
  std::atomic<bool> go_on{false};
  Crowd crowd(kThreads, [&](size_t) {
    bool same = option(udp, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
    idle++;
    while (!go_on) sleep_ms(5);
    same &= option(udp, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM;
    good += same;
  });
  while (idle < kThreads) sleep_ms(1);
  use_the_device();
  go_on = true;
  crowd.join();
  EXPECT_EQ(good.load(), kThreads);
  use_the_device();
}

TEST(threads_that_come_and_go) {
  size_t good = 0;
  for (int i = 0; i < 500; i++) {
    std::thread([&] {
      const int fd = socket(AF_INET, SOCK_DGRAM, 0);
      good += fd >= 0 && close(fd) == 0;
    }).join();
  }
  EXPECT_EQ(good, size_t{500});
}

// What a program may still use, it must be able to use: another socket, fork, spawn, threads.
TEST(little_address_space_left) {
  for (const int resource : {RLIMIT_AS, RLIMIT_DATA}) {
    const pid_t pid = child([&] {
      const Pair pair = tcp_pair();
      const int set = OK(epoll_create1(0));
      limit(resource, address_space() + (24 << 20));
      use_the_device();
      Crowd crowd(4, [](size_t) { close(OK(socket(AF_INET, SOCK_DGRAM, 0))); });
      crowd.join();
      char name[] = "true", *argv[] = {name, nullptr};
      pid_t spawned = 0;
      EXPECT_EQ(posix_spawnp(&spawned, name, nullptr, nullptr, argv, environ), 0);
      EXPECT_EXIT(spawned, 0);
      EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
      close(set);
    });
    EXPECT_EXIT(pid, 0);
  }
}

// The limit comes before the first socket.
TEST(limited_before_the_first_socket) {
  const pid_t pid = child([] {
    limit(RLIMIT_AS, address_space() + (24 << 20));
    use_the_device();
  });
  EXPECT_EXIT(pid, 0);
}

TEST(no_address_space_left) {
  const pid_t pid = child([] {
    const Pair pair = tcp_pair();
    limit(RLIMIT_AS, 0);
    EXPECT_ERR(
        reinterpret_cast<long>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
        ENOMEM);
    const pid_t forked = child([&] {
      char byte = 0;
      EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
      EXPECT_EQ(recv(pair.b, &byte, 1, 0), 1);
      EXPECT_EQ(close(pair.a), 0);
    });
    EXPECT_EXIT(forked, 0);
    EXPECT_EQ(close(pair.a), 0);
    EXPECT(peer_sees_the_end(pair.b));
  });
  EXPECT_EXIT(pid, 0);
}
