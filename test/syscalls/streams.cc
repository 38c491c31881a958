// SPDX-License-Identifier: Apache-2.0
//
// Streams that are longer than any buffer: between threads, between processes, in both directions,
// with and without waiting. Not a byte may be lost, repeated or out of place.

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

void send_all(int fd, const unsigned char* data, size_t size, size_t step) {
  for (size_t done = 0; done < size;) {
    size_t room = size - done < step ? size - done : step;
    done += static_cast<size_t>(OK(send(fd, data + done, room, MSG_NOSIGNAL)));
  }
}

uint64_t receive_all(int fd, size_t* total, size_t step) {
  std::vector<unsigned char> bytes(step);
  uint64_t sum = checksum(nullptr, 0);
  *total = 0;
  for (;;) {
    ssize_t n = OK(recv(fd, bytes.data(), step, 0));
    if (n == 0) return sum;
    sum = checksum(bytes.data(), static_cast<size_t>(n), sum);
    *total += static_cast<size_t>(n);
  }
}

}  // namespace

TEST(without_waiting) {
  Pair pair = tcp_pair();
  char byte;
  EXPECT_ERR(recv(pair.a, &byte, 1, MSG_DONTWAIT), EAGAIN);
  OK(fcntl(pair.a, F_SETFL, O_NONBLOCK));
  EXPECT_ERR(recv(pair.a, &byte, 1, 0), EAGAIN);
  EXPECT_ERR(read(pair.a, &byte, 1), EAGAIN);
  // Fill the connection, then empty it: not a byte more or less.
  auto data = pattern(64 * 1024);
  size_t sent = 0, got = 0;
  for (ssize_t n; (n = send(pair.a, data.data(), data.size(), 0)) > 0;) {
    sent += static_cast<size_t>(n);
    EXPECT(sent < 64u << 20);
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_ERR(write(pair.a, data.data(), 1), EAGAIN);
  EXPECT_EQ(events_of(pair.a, POLLOUT, 0), 0);
  OK(shutdown(pair.a, SHUT_WR));
  for (ssize_t n; (n = recv(pair.b, data.data(), data.size(), 0)) > 0;)
    got += static_cast<size_t>(n);
  EXPECT_EQ(got, sent);
}

TEST(wait_for_all) {
  Pair pair = tcp_pair();
  std::thread writer([&] {
    for (size_t i = 0; i < 10; i++) {
      auto part = pattern(1000, static_cast<unsigned>(i));
      send_all(pair.a, part.data(), part.size(), 1000);
      sleep_ms(2);
    }
  });
  std::vector<unsigned char> got(10000);
  EXPECT_EQ(recv(pair.b, got.data(), got.size(), MSG_WAITALL), 10000);
  for (size_t i = 0; i < 10; i++) {
    EXPECT(is_pattern(got.data() + 1000 * i, 1000, 0, static_cast<unsigned>(i)));
  }
  writer.join();
  EXPECT_EQ(write(pair.a, "end", 3), 3);
  OK(shutdown(pair.a, SHUT_WR));
  EXPECT_EQ(recv(pair.b, got.data(), 100, MSG_WAITALL), 3);
  EXPECT_EQ(recv(pair.b, got.data(), 100, MSG_WAITALL), 0);
}

TEST(four_megabytes_between_threads) {
  auto data = pattern(4 << 20);
  for (size_t step : {size_t{4} << 20, size_t{65536}, size_t{3001}}) {
    Pair pair = tcp_pair();
    std::thread writer([&] {
      send_all(pair.a, data.data(), data.size(), step);
      OK(shutdown(pair.a, SHUT_WR));
    });
    size_t total = 0;
    EXPECT_EQ(receive_all(pair.b, &total, step), checksum(data.data(), data.size()));
    EXPECT_EQ(total, data.size());
    writer.join();
    close_pair(pair);
  }
}

TEST(four_megabytes_between_processes) {
  auto data = pattern(4 << 20);
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    close(pair.b);
    // One call, which has to block many times before it has sent everything.
    EXPECT_EQ(write(pair.a, data.data(), data.size()), data.size());
  });
  close(pair.a);
  size_t total = 0;
  EXPECT_EQ(receive_all(pair.b, &total, 100000), checksum(data.data(), data.size()));
  EXPECT_EQ(total, data.size());
  EXPECT_EXIT(pid, 0);
}

TEST(both_directions_at_once) {
  auto data = pattern(1 << 20);
  Pair pair = tcp_pair();
  std::thread echo([&] {
    std::vector<unsigned char> bytes(50000);
    for (ssize_t n; (n = OK(read(pair.b, bytes.data(), bytes.size()))) > 0;) {
      send_all(pair.b, bytes.data(), static_cast<size_t>(n), 50000);
    }
    OK(shutdown(pair.b, SHUT_WR));
  });
  std::thread writer([&] {
    send_all(pair.a, data.data(), data.size(), 20000);
    OK(shutdown(pair.a, SHUT_WR));
  });
  size_t total = 0;
  EXPECT_EQ(receive_all(pair.a, &total, 30000), checksum(data.data(), data.size()));
  EXPECT_EQ(total, data.size());
  writer.join();
  echo.join();
}
