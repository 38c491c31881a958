// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace mino {

namespace {

using Clock = std::chrono::steady_clock;

double ns_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

struct Pair {
  Fd sender, receiver;
};

std::optional<Pair> connect_pair() {
  const Fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), plain, size) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), plain, &size) != 0) {
    return {};
  }
  Pair pair;
  pair.sender = Fd(::socket(AF_INET, SOCK_STREAM, 0));
  if (::connect(pair.sender.get(), plain, size) != 0) return {};
  pair.receiver = Fd(::accept(listener.get(), nullptr, nullptr));
  if (!pair.receiver.valid()) return {};
  const int on = 1;
  ::setsockopt(pair.sender.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return pair;
}

// Moves `bytes` once. One thread serves both ends, so data that does not fit into the sockets'
// buffers goes in parts. Adds the time spent in each direction. False on a broken connection.
bool transfer(const Pair& pair, std::vector<char>& buffer, size_t bytes, double& sending,
              double& receiving) {
  size_t sent = 0, received = 0;
  while (received < bytes) {
    const auto start = Clock::now();
    while (sent < bytes) {
      const ssize_t n = ::send(pair.sender.get(), buffer.data() + sent, bytes - sent,
                               MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return false;
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    sending += ns_since(start);
    const auto middle = Clock::now();
    while (received < sent) {
      const ssize_t n = ::recv(pair.receiver.get(), buffer.data() + received, sent - received, 0);
      if (n <= 0) return false;
      received += static_cast<size_t>(n);
    }
    receiving += ns_since(middle);
  }
  return true;
}

template <class Call>
double per_call(long count, Call call) {
  // A thread that sleeps at the other end wakes up first.
  for (int i = 0; i < 200; i++) call();
  const auto start = Clock::now();
  for (long i = 0; i < count; i++) call();
  return ns_since(start) / static_cast<double>(count);
}

// Passes a word back and forth between two threads that only poll, each in a cache line of its own.
// No call to another core can be faster than this.
double hand_over(long count) {
  struct alignas(128) Word {
    std::atomic<long> turn{0};
  } there, back;
  const auto await = [](const Word& word, long turn) {
    while (word.turn.load(std::memory_order_acquire) < turn) __builtin_ia32_pause();
  };
  const long all = count + 200;
  std::thread other([&] {
    for (long i = 1; i <= all; i++) {
      await(there, i);
      back.turn.store(i, std::memory_order_release);
    }
  });
  long turn = 0;
  const double ns = per_call(count, [&] {
    there.turn.store(++turn, std::memory_order_release);
    await(back, turn);
  });
  other.join();
  return ns;
}

}  // namespace

int bench_child() {
  const auto pair = connect_pair();
  if (!pair) {
    std::printf("failed: no TCP connection over loopback: %s\n", std::strerror(errno));
    return 1;
  }
  std::vector<char> buffer(1 << 20, 'x');
  std::printf("ready\n");
  std::fflush(stdout);
  char line[128];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    long count = 0;
    size_t bytes = 0;
    if (std::sscanf(line, "getppid %ld", &count) == 1) {
      std::printf("%.3f\n", per_call(count, [] { ::getppid(); }));
    } else if (std::sscanf(line, "host-fcntl %ld", &count) == 1) {
      std::printf("%.3f\n", per_call(count, [] { ::fcntl(STDIN_FILENO, F_GETFL); }));
    } else if (std::sscanf(line, "fcntl %ld", &count) == 1) {
      const int fd = pair->sender.get();
      std::printf("%.3f\n", per_call(count, [fd] { ::fcntl(fd, F_GETFL); }));
    } else if (std::sscanf(line, "hand-over %ld", &count) == 1) {
      std::printf("%.3f\n", hand_over(count));
    } else if (std::sscanf(line, "transfer %zu %ld", &bytes, &count) == 2 &&
               bytes <= buffer.size()) {
      double sending = 0, receiving = 0, warm_up = 0;
      bool whole = transfer(*pair, buffer, bytes, warm_up, warm_up);
      for (long i = 0; i < count && whole; i++)
        whole = transfer(*pair, buffer, bytes, sending, receiving);
      if (whole) {
        std::printf("%.3f %.3f\n", sending / static_cast<double>(count),
                    receiving / static_cast<double>(count));
      } else {
        std::printf("failed: the connection broke: %s\n", std::strerror(errno));
      }
    } else {
      std::printf("failed: unknown command\n");
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace mino
