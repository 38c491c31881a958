// SPDX-License-Identifier: Apache-2.0
#include "cli/trace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <random>

namespace mino {
namespace {

// Builds a record in the way that the hook does.
class Record {
 public:
  Record(uint32_t nr, int64_t result, std::vector<uint64_t> args) {
    header_.magic = abi::kTraceMagic;
    header_.pid = header_.tid = 123;
    header_.nr = nr;
    header_.result = result;
    header_.duration_ns = 12'345;
    header_.round_trips = 1;
    std::copy(args.begin(), args.end(), header_.args);
  }

  Record& piece(uint8_t arg, uint64_t addr, const void* data, uint32_t len) {
    const auto kept = static_cast<uint16_t>(std::min<uint32_t>(len, abi::kMaxTraceKept));
    const abi::TracePiece about{addr, len, kept, arg, 1};
    append(&about, sizeof about);
    append(data, kept);
    header_.piece_count++;
    return *this;
  }
  Record& piece(uint8_t arg, uint64_t addr, const std::string& text) {
    return piece(arg, addr, text.data(), static_cast<uint32_t>(text.size()));
  }
  template <class T>
  Record& value(uint8_t arg, uint64_t addr, const T& value) {
    return piece(arg, addr, &value, sizeof value);
  }
  abi::TraceHeader& header() { return header_; }

  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all(sizeof header_);
    std::memcpy(all.data(), &header_, sizeof header_);
    all.insert(all.end(), pieces_.begin(), pieces_.end());
    return all;
  }
  std::string line() const { return trace_line(bytes()); }
  // The line without the pid before it and the figures behind it.
  std::string call() const {
    const std::string whole = line();
    const size_t begin = whole.find("] ") + 2;
    return whole.substr(begin, whole.rfind(" <") - begin);
  }

 private:
  void append(const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    pieces_.insert(pieces_.end(), from, from + size);
  }
  abi::TraceHeader header_{};
  std::vector<uint8_t> pieces_;
};

sockaddr_in ipv4(const char* address, uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address, &to.sin_addr);
  return to;
}

TEST(Trace, ConnectAsAWholeLine) {
  Record record(42, -ECONNREFUSED, {5, 0x7000, 16});
  record.value(1, 0x7000, ipv4("10.0.0.1", 80));
  EXPECT_EQ(record.line(),
            "[pid 123] connect(5, {sa_family=AF_INET, sin_port=htons(80), "
            "sin_addr=inet_addr(\"10.0.0.1\")}, 16) = -1 "
            "ECONNREFUSED (Connection refused) <0.000012 s, 1 trip, 0 upcalls>");
}

TEST(Trace, ThreadsHaveTheirNumber) {
  Record record(48, 0, {5, SHUT_WR});
  record.header().tid = 124;
  record.header().round_trips = 2;
  record.header().upcalls = 1;
  record.header().duration_ns = 2'500'000'000;
  EXPECT_EQ(record.line(),
            "[pid 123 tid 124] shutdown(5, SHUT_WR) = 0 <2.500000 s, 2 trips, 1 upcall>");
}

TEST(Trace, SocketNames) {
  EXPECT_EQ(
      Record(41, 3, {AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP}).call(),
      "socket(AF_INET6, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_TCP) = 3");
  EXPECT_EQ(Record(41, 3, {AF_NETLINK, SOCK_RAW, 0}).call(),
            "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3");
  EXPECT_EQ(Record(41, -EAFNOSUPPORT, {99, 77, 5}).call(),
            "socket(99, 77, 5) = -1 EAFNOSUPPORT (Address family not supported by protocol)");
}

TEST(Trace, DataIsEscapedAndCut) {
  Record write(1, 100, {4, 0x1000, 100});
  write.piece(1, 0x1000, "a\"\\\r\n\x01\xff" + std::string(93, 'x'));
  EXPECT_EQ(write.call(),
            "write(4, \"a\\\"\\\\\\r\\n\\x01\\xff" + std::string(57, 'x') + "\"…, 100) = 100");
}

TEST(Trace, ReadShowsWhatWasRead) {
  Record read(0, 2, {4, 0x1000, 100});
  read.piece(1, 0x1000, "ab" + std::string(98, '?'));
  EXPECT_EQ(read.call(), "read(4, \"ab\", 100) = 2");
  Record failed(0, -EAGAIN, {4, 0x1000, 100});
  failed.piece(1, 0x1000, std::string(100, '?'));
  EXPECT_EQ(failed.call(), "read(4, 0x1000, 100) = -1 EAGAIN (Resource temporarily unavailable)");
}

TEST(Trace, AddressesOutAreAsLongAsTheKernelSaid) {
  Record accept(288, 7, {4, 0x2000, 0x3000, SOCK_CLOEXEC});
  sockaddr_storage room{};
  const sockaddr_in peer = ipv4("10.213.0.1", 4000);
  std::memcpy(&room, &peer, sizeof peer);
  accept.value(1, 0x2000, room).value(2, 0x3000, int32_t{16});
  EXPECT_EQ(accept.call(),
            "accept4(4, {sa_family=AF_INET, sin_port=htons(4000), "
            "sin_addr=inet_addr(\"10.213.0.1\")}, [16], "
            "SOCK_CLOEXEC) = 7");
  EXPECT_EQ(Record(43, 7, {4, 0, 0}).call(), "accept(4, NULL, NULL) = 7");
}

TEST(Trace, Ipv6AndNetlinkAddresses) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(443);
  inet_pton(AF_INET6, "fe80::1", &to.sin6_addr);
  to.sin6_scope_id = 2;
  Record bind(49, 0, {4, 0x2000, sizeof to});
  bind.value(1, 0x2000, to);
  EXPECT_EQ(bind.call(),
            "bind(4, {sa_family=AF_INET6, sin6_port=htons(443), sin6_addr=\"fe80::1\", "
            "sin6_scope_id=2}, 28) = 0");
  Record netlink(49, 0, {4, 0x2000, 12});
  const uint8_t address[12] = {16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
  netlink.piece(1, 0x2000, address, 12);
  EXPECT_EQ(netlink.call(), "bind(4, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=0x1}, 12) = 0");
}

TEST(Trace, Options) {
  Record nodelay(54, 0, {4, IPPROTO_TCP, TCP_NODELAY, 0x2000, 4});
  nodelay.value(3, 0x2000, int32_t{1});
  EXPECT_EQ(nodelay.call(), "setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0");
  Record linger(54, 0, {4, SOL_SOCKET, SO_LINGER, 0x2000, 8});
  const int32_t value[2] = {1, 5};
  linger.value(3, 0x2000, value);
  EXPECT_EQ(linger.call(), "setsockopt(4, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=5}, 8) = 0");
  Record error(55, 0, {4, SOL_SOCKET, SO_ERROR, 0x2000, 0x3000});
  error.value(3, 0x2000, int32_t{111}).value(4, 0x3000, int32_t{4});
  EXPECT_EQ(error.call(), "getsockopt(4, SOL_SOCKET, SO_ERROR, [111], [4]) = 0");
}

TEST(Trace, VectorsAndMessages) {
  const uint64_t iov[4] = {0x5000, 3, 0x6000, 10};
  Record writev(20, 13, {4, 0x4000, 2});
  writev.value(1, 0x4000, iov).piece(1, 0x5000, "abc").piece(1, 0x6000, "0123456789");
  EXPECT_EQ(
      writev.call(),
      "writev(4, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"0123456789\", iov_len=10}], 2) = 13");
  Record readv(19, 5, {4, 0x4000, 2});
  readv.value(1, 0x4000, iov).piece(1, 0x5000, "abc").piece(1, 0x6000, "de????????");
  EXPECT_EQ(readv.call(),
            "readv(4, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"de\", iov_len=10}], 2) = 5");

  uint64_t header[7] = {0x2000, 16, 0x4000, 1, 0, 0, MSG_TRUNC};
  const uint64_t one[2] = {0x5000, 8};
  Record recvmsg(47, 2, {4, 0x3000, MSG_DONTWAIT});
  recvmsg.value(1, 0x3000, header)
      .value(1, 0x2000, ipv4("1.2.3.4", 53))
      .value(1, 0x4000, one)
      .piece(1, 0x5000, "hi??????");
  EXPECT_EQ(
      recvmsg.call(),
      "recvmsg(4, {msg_name={sa_family=AF_INET, sin_port=htons(53), "
      "sin_addr=inet_addr(\"1.2.3.4\")}, "
      "msg_namelen=16, msg_iov=[{iov_base=\"hi\", iov_len=8}], msg_iovlen=1, msg_controllen=0, "
      "msg_flags=MSG_TRUNC}, MSG_DONTWAIT) = 2");
}

TEST(Trace, Readiness) {
  struct [[gnu::packed]] Event {
    uint32_t events;
    uint64_t data;
  };
  const Event events[2] = {{EPOLLIN | EPOLLRDHUP, 5}, {EPOLLOUT, 6}};
  Record wait(232, 1, {3, 0x2000, 512, UINT64_MAX});
  wait.piece(1, 0x2000, events, sizeof events);
  EXPECT_EQ(wait.call(), "epoll_wait(3, [{events=EPOLLIN|EPOLLRDHUP, data=0x5}], 512, -1) = 1");
  Record control(233, 0, {3, EPOLL_CTL_ADD, 5, 0x2000});
  const Event one{EPOLLIN | EPOLLET, 7};
  control.value(3, 0x2000, one);
  EXPECT_EQ(control.call(),
            "epoll_ctl(3, EPOLL_CTL_ADD, 5, {events=EPOLLIN|EPOLLET, data=0x7}) = 0");
  const pollfd fds[2] = {{3, POLLIN, POLLIN}, {4, POLLOUT, 0}};
  Record poll(7, 1, {0x2000, 2, 0xffffffff});
  poll.piece(0, 0x2000, fds, sizeof fds);
  EXPECT_EQ(poll.call(),
            "poll([{fd=3, events=POLLIN, revents=POLLIN}, {fd=4, events=POLLOUT}], 2, -1) = 1");
  Record select(23, 1, {70, 0x2000, 0, 0, 0x3000});
  const uint64_t bits[2] = {0x28, 0x20}, timeout[2] = {1, 500};
  select.value(1, 0x2000, bits).value(4, 0x3000, timeout);
  EXPECT_EQ(select.call(), "select(70, [3 5 69], NULL, NULL, {tv_sec=1, tv_usec=500}) = 1");
}

TEST(Trace, FilesAndControl) {
  Record open(257, 4, {static_cast<uint64_t>(AT_FDCWD), 0x2000, O_RDONLY | O_CLOEXEC, 0});
  open.piece(1, 0x2000, std::string("/proc/net/tcp\0", 14));
  EXPECT_EQ(open.call(), "openat(AT_FDCWD, \"/proc/net/tcp\", O_RDONLY|O_CLOEXEC, 0) = 4");
  EXPECT_EQ(Record(72, O_RDWR | O_NONBLOCK, {4, F_GETFL, 0}).call(),
            "fcntl(4, F_GETFL, 0) = 2050 (O_RDWR|O_NONBLOCK)");
  EXPECT_EQ(Record(72, 0, {4, F_SETFL, O_RDWR | O_NONBLOCK}).call(),
            "fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
  Record ioctl(16, 0, {4, 0x541b, 0x2000});
  ioctl.value(2, 0x2000, int32_t{42});
  EXPECT_EQ(ioctl.call(), "ioctl(4, FIONREAD, [42]) = 0");
  EXPECT_EQ(Record(499, -ENOSYS, {1, 2, 3, 4, 5, 6}).call(),
            "syscall_499(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)");
  EXPECT_EQ(Record(44, -512, {4, 0, 0, 0, 0, 0}).call(),
            "sendto(4, NULL, 0, 0, NULL, 0) = -1 ERESTARTSYS (to be restarted)");
}

TEST(Trace, WhatIsNoRecordIsNoLine) {
  EXPECT_EQ(trace_line({}), "");
  auto bytes = Record(42, 0, {5, 0x7000, 16}).value(1, 0x7000, ipv4("1.2.3.4", 1)).bytes();
  for (size_t size = 0; size < bytes.size(); size++) {
    EXPECT_EQ(trace_line(std::span(bytes).first(size)), "") << size;
  }
  bytes[0] ^= 1;
  EXPECT_EQ(trace_line(bytes), "");
  EXPECT_EQ(trace_line(std::vector<uint8_t>(abi::kMaxTraceRecord + 1)), "");
}

// Whatever a hostile program sends, the result is a bounded line without control characters, or
// none. (The asan build checks the accesses.)
TEST(Trace, HostileRecords) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; round++) {
    Record record(random() % 512, static_cast<int64_t>(random()) - (1 << 30), {});
    for (uint64_t& arg : record.header().args) {
      // Often a small number, the address of a piece, or -1.
      const uint64_t choices[] = {random() % 64, 0x1000,   0x1010,
                                  UINT64_MAX,    random(), uint64_t{random()} << 32};
      arg = choices[random() % std::size(choices)];
    }
    const uint32_t pieces = random() % 8;
    for (uint32_t i = 0; i < pieces; i++) {
      uint64_t data[8];
      for (uint64_t& word : data) word = random() % 3 == 0 ? 0x1000 : random();
      record.piece(static_cast<uint8_t>(random() % 7), random() % 2 ? 0x1000 : 0x1010, data,
                   static_cast<uint32_t>(random() % 70));
    }
    if (random() % 8 == 0) record.header().piece_count = static_cast<uint16_t>(random());
    auto bytes = record.bytes();
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    const std::string line = trace_line(bytes);
    EXPECT_LT(line.size(), 100'000u);
    for (const char c : line) ASSERT_TRUE(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
  }
}

}  // namespace
}  // namespace mino
