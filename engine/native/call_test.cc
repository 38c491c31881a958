// SPDX-License-Identifier: Apache-2.0
//
// Calls of every shape through a whole proxy, their errors, and clients that break the rules.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "engine/testing/client.h"

namespace mino::test {
namespace {

sockaddr_in loopback(uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class Call : public ::testing::TestWithParam<Options> {
 protected:
  void SetUp() override {
    sockaddr_in address = loopback();
    socklen_t size = sizeof address;
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
    ASSERT_EQ(lane.call(SYS_bind, {10, ptr(&address), size}), 0);
    ASSERT_EQ(lane.call(SYS_listen, {10, 16}), 0);
    ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
    ASSERT_EQ(lane.call(SYS_connect, {11, ptr(&address), size}), 0);
    ASSERT_EQ(lane.call(SYS_accept, {10, 0, 0}, 12), 12);
    udp = loopback();
    size = sizeof udp;
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 13), 13);
    ASSERT_EQ(lane.call(SYS_bind, {13, ptr(&udp), size}), 0);
    ASSERT_EQ(lane.call(SYS_getsockname, {13, ptr(&udp), ptr(&size)}), 0);
    ASSERT_EQ(lane.call(SYS_connect, {13, ptr(&udp), size}), 0);
  }

  Session session{GetParam()};
  LaneClient lane{session, 0};
  sockaddr_in udp{};
};

constexpr uint64_t kBad = 0x10;

TEST_P(Call, MessagesWithVectorsAndControl) {
  const int on = 1;
  ASSERT_EQ(lane.call(SYS_setsockopt, {13, IPPROTO_IP, IP_PKTINFO, ptr(&on), sizeof on}), 0);
  char first[] = "one", second[] = "two";
  iovec out[2] = {{first, 3}, {second, 3}};
  msghdr send{};
  send.msg_iov = out;
  send.msg_iovlen = 2;
  ASSERT_EQ(lane.call(SYS_sendmsg, {13, ptr(&send), 0}), 6);
  char a[4]{}, b[8]{}, control[128]{};
  sockaddr_in from{};
  iovec in[2] = {{a, 4}, {b, 8}};
  msghdr receive{};
  receive.msg_name = &from;
  receive.msg_namelen = sizeof from;
  receive.msg_iov = in;
  receive.msg_iovlen = 2;
  receive.msg_control = control;
  receive.msg_controllen = sizeof control;
  ASSERT_EQ(lane.call(SYS_recvmsg, {13, ptr(&receive), 0}), 6);
  EXPECT_EQ(std::memcmp(a, "onet", 4), 0);
  EXPECT_STREQ(b, "wo");
  EXPECT_EQ(from.sin_port, udp.sin_port);
  EXPECT_EQ(receive.msg_namelen, sizeof from);
  cmsghdr* info = CMSG_FIRSTHDR(&receive);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->cmsg_type, IP_PKTINFO);
  EXPECT_EQ(receive.msg_controllen, CMSG_SPACE(sizeof(in_pktinfo)));
}

TEST_P(Call, ManyMessages) {
  char texts[4][8] = {"m0", "m1", "m2", "m3"};
  iovec parts[4];
  mmsghdr send[4]{};
  for (int i = 0; i < 4; i++) {
    parts[i] = {texts[i], 3};
    send[i].msg_hdr.msg_iov = &parts[i];
    send[i].msg_hdr.msg_iovlen = 1;
  }
  ASSERT_EQ(lane.call(SYS_sendmmsg, {13, ptr(send), 4, 0}), 4);
  EXPECT_EQ(send[3].msg_len, 3u);
  char got[6][16]{};
  iovec in[6];
  mmsghdr receive[6]{};
  for (int i = 0; i < 6; i++) {
    in[i] = {got[i], 16};
    receive[i].msg_hdr.msg_iov = &in[i];
    receive[i].msg_hdr.msg_iovlen = 1;
    receive[i].msg_len = 77;
  }
  timespec timeout{1, 0};
  ASSERT_EQ(lane.call(SYS_recvmmsg, {13, ptr(receive), 6, MSG_WAITFORONE, ptr(&timeout)}), 4);
  for (int i = 0; i < 4; i++) {
    EXPECT_STREQ(got[i], texts[i]);
    EXPECT_EQ(receive[i].msg_len, 3u);
  }
  EXPECT_EQ(receive[4].msg_len, 77u);
}

TEST_P(Call, BigTransfers) {
  std::string out(3 << 20, '\0'), in(3 << 20, '\0');
  for (size_t i = 0; i < out.size(); i++) out[i] = static_cast<char>(i * 7 + i / 4099);
  LaneClient reader(session, 1);
  std::thread thread([&] {
    size_t got = 0;
    while (got < in.size()) {
      const int64_t n =
          reader.call(SYS_recvfrom, {12, ptr(in.data() + got), in.size() - got, 0, 0, 0});
      if (n <= 0) break;
      got += static_cast<size_t>(n);
    }
  });
  size_t sent = 0;
  while (sent < out.size()) {
    const int64_t n = lane.call(SYS_write, {11, ptr(out.data() + sent), out.size() - sent});
    ASSERT_GT(n, 0);
    sent += static_cast<size_t>(n);
  }
  thread.join();
  EXPECT_TRUE(in == out);
}

TEST_P(Call, Options) {
  int value = 0;
  socklen_t size = sizeof value;
  ASSERT_EQ(lane.call(SYS_getsockopt, {11, SOL_SOCKET, SO_TYPE, ptr(&value), ptr(&size)}), 0);
  EXPECT_EQ(value, SOCK_STREAM);
  value = 1;
  EXPECT_EQ(lane.call(SYS_setsockopt, {11, IPPROTO_TCP, TCP_NODELAY, ptr(&value), sizeof value}),
            0);
  value = 0;
  EXPECT_EQ(lane.call(SYS_getsockopt, {11, IPPROTO_TCP, TCP_NODELAY, ptr(&value), ptr(&size)}), 0);
  EXPECT_NE(value, 0);
  tcp_info info{};
  size = sizeof info;
  EXPECT_EQ(lane.call(SYS_getsockopt, {11, IPPROTO_TCP, TCP_INFO, ptr(&info), ptr(&size)}), 0);
  EXPECT_EQ(info.tcpi_state, 1);
}

TEST_P(Call, Ioctls) {
  ASSERT_EQ(lane.call(SYS_sendto, {11, ptr("12345"), 5, 0, 0, 0}), 5);
  int pending = 0;
  pollfd one{12, POLLIN, 0};
  ASSERT_EQ(lane.call(SYS_poll, {ptr(&one), 1, 1000}), 1);
  EXPECT_EQ(lane.call(SYS_ioctl, {12, FIONREAD, ptr(&pending)}), 0);
  EXPECT_EQ(pending, 5);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  EXPECT_EQ(lane.call(SYS_ioctl, {13, SIOCGIFINDEX, ptr(&request)}), 0);
  EXPECT_EQ(request.ifr_ifindex, 1);
  const int on = 1;
  EXPECT_EQ(lane.call(SYS_ioctl, {12, FIONBIO, ptr(&on)}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {12, F_GETFL}), O_RDWR | O_NONBLOCK);
  EXPECT_EQ(lane.call(SYS_ioctl, {12, 0x894c, 0}), -EINVAL);  // SIOCGSKNS, and no number
}

TEST_P(Call, DescriptorNumbers) {
  EXPECT_EQ(lane.call(SYS_dup3, {11, 30, O_CLOEXEC}, 30), 30);
  EXPECT_EQ(lane.call(SYS_dup, {11}, 31), 31);
  EXPECT_EQ(lane.call(SYS_dup2, {11, 12}, 12), 12);  // closes the peer's end
  EXPECT_EQ(lane.call(SYS_dup2, {11, 11}, 11), 11);
  EXPECT_EQ(lane.call(SYS_dup3, {11, 11, 0}, 11), -EINVAL);
  EXPECT_EQ(lane.call(SYS_dup2, {99, 40}, 40), -EBADF);
  EXPECT_EQ(lane.call(SYS_fcntl, {31, F_DUPFD, 0}, 32), 32);
  EXPECT_EQ(lane.call(SYS_fcntl, {32, F_GETFL}), O_RDWR);
  EXPECT_EQ(lane.call(SYS_close_range, {30, 31, 0}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {30, F_GETFL}), -EBADF);
  EXPECT_EQ(lane.call(SYS_fcntl, {31, F_GETFL}), -EBADF);
  EXPECT_EQ(lane.call(SYS_fcntl, {32, F_GETFL}), O_RDWR);
  EXPECT_EQ(lane.call(SYS_close_range, {3, ~0u, CLOSE_RANGE_CLOEXEC}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {32, F_GETFL}), O_RDWR);
  EXPECT_EQ(lane.call(SYS_close_range, {5, 4, 0}), -EINVAL);
  EXPECT_EQ(lane.call(SYS_close_range, {0, ~0u, 0}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {10, F_GETFL}), -EBADF);
  uint8_t bitmap[64];
  EXPECT_EQ(lane.op(abi::Op::kListFds, {ptr(bitmap), sizeof bitmap}), 0);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, -1), -EINVAL);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 0), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {0, F_GETFL}), O_RDWR);
}

TEST_P(Call, OurDescriptorsAreHidden) {
  struct stat status{};
  for (const uint64_t number : {3ul, 100ul, 255ul, 256ul, 257ul, 1000ul, 0xfffffffful}) {
    EXPECT_EQ(lane.call(SYS_fstat, {number, ptr(&status)}), -EBADF) << number;
    EXPECT_EQ(lane.call(SYS_fchdir, {number}), -EBADF) << number;
    EXPECT_EQ(lane.call(SYS_close, {number}), -EBADF) << number;
    EXPECT_EQ(lane.call(SYS_openat, {number, ptr("etc"), O_RDONLY, 0}, 50), -EBADF) << number;
    EXPECT_EQ(lane.call(SYS_dup3, {number, 51, 0}, 51), -EBADF) << number;
    EXPECT_EQ(lane.call(SYS_newfstatat, {number, ptr(""), ptr(&status), AT_EMPTY_PATH}), -EBADF)
        << number;
  }
  EXPECT_EQ(lane.call(SYS_openat, {100, ptr("/proc/sys/net/core/somaxconn"), O_RDONLY, 0}, 50), 50);
}

TEST_P(Call, NotCarried) {
  EXPECT_EQ(lane.call(SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, 40), -EAFNOSUPPORT);
  int pair[2];
  EXPECT_EQ(lane.call(SYS_socketpair, {AF_INET, SOCK_STREAM, 0, ptr(pair)}), -EOPNOTSUPP);
  EXPECT_EQ(lane.call(SYS_fork, {}), -ENOSYS);
  EXPECT_EQ(lane.call(SYS_mmap, {0, 4096, 1, 1, 10, 0}), -ENOSYS);
  EXPECT_EQ(lane.call(SYS_exit_group, {1}), -ENOSYS);
  EXPECT_EQ(lane.call(SYS_brk, {0}), -ENOSYS);
  EXPECT_EQ(lane.call(100000, {}), -ENOSYS);
  EXPECT_EQ(lane.op(static_cast<abi::Op>(99)), -ENOSYS);
  EXPECT_EQ(lane.op(abi::Op::kNull), 0);
}

TEST_P(Call, BadPointers) {
  sockaddr_in address{};
  EXPECT_EQ(lane.call(SYS_bind, {13, kBad, sizeof address}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_connect, {13, kBad, sizeof address}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_getsockname, {13, kBad, kBad}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_write, {13, kBad, 10}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_sendmsg, {13, kBad, 0}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_poll, {kBad, 1, 0}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_openat, {100, kBad, O_RDONLY, 0}, 50), -EFAULT);
  EXPECT_EQ(lane.call(SYS_setsockopt, {11, SOL_SOCKET, SO_KEEPALIVE, kBad, 4}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_ioctl, {12, FIONREAD, kBad}), -EFAULT);
  EXPECT_EQ(lane.call(SYS_write, {99, kBad, 10}), -EBADF);
  // A datagram that could not be delivered is lost, as it is natively. A stream keeps its bytes.
  ASSERT_EQ(lane.call(SYS_write, {11, ptr("abc"), 3}), 3);
  pollfd one{12, POLLIN, 0};
  ASSERT_EQ(lane.call(SYS_poll, {ptr(&one), 1, 1000}), 1);
  EXPECT_EQ(lane.call(SYS_read, {12, kBad, 10}), -EFAULT);
  char got[4]{};
  EXPECT_EQ(lane.call(SYS_read, {12, ptr(got), 4}), 3);
  EXPECT_STREQ(got, "abc");
  // A page with nothing behind it: the good part is sent.
  char* pages = static_cast<char*>(
      ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::munmap(pages + 4096, 4096);
  const int64_t partly = lane.call(SYS_write, {11, ptr(pages + 4000), 200});
  EXPECT_TRUE(partly == -EFAULT || (partly > 0 && partly <= 96)) << partly;
  ::munmap(pages, 4096);
  // If the address of an accepted connection cannot be told, no descriptor is left behind.
  sockaddr_in listening{};
  socklen_t size = sizeof listening;
  ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&listening), ptr(&size)}), 0);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 60), 60);
  ASSERT_EQ(lane.call(SYS_connect, {60, ptr(&listening), size}), 0);
  EXPECT_EQ(lane.call(SYS_accept, {10, kBad, ptr(&size)}, 61), -EFAULT);
  EXPECT_EQ(lane.call(SYS_fcntl, {61, F_GETFL}), -EBADF);
}

TEST_P(Call, CountsAreTold) {
  const uint64_t before = session.stats->calls;
  for (int i = 0; i < 200; i++) ASSERT_EQ(lane.call(SYS_fcntl, {11, F_GETFL}), O_RDWR);
  for (int i = 0; i < 1000 && session.stats->calls < before + 200; i++) ::usleep(1000);
  EXPECT_GE(session.stats->calls, before + 200);
  EXPECT_GE(session.stats->round_trips, session.stats->calls);
  EXPECT_EQ(session.stats->lanes, 1u);
  ASSERT_EQ(lane.call(SYS_write, {11, ptr("12345678"), 8}), 8);
  for (int i = 0; i < 1000 && session.stats->bytes_in == 0; i++) ::usleep(1000);
  EXPECT_GT(session.stats->bytes_in, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, Call,
                         ::testing::Values(Options{}, Options{.windows = false},
                                           Options{.arena_bytes = 4096},
                                           Options{.arena_bytes = 4096, .windows = false}),
                         [](const auto& info) {
                           return std::string(info.param.windows ? "Windows" : "NoWindows") +
                                  (info.param.arena_bytes == 4096 ? "SmallArena" : "");
                         });

// Whatever a client puts into the ring ends its own session, and no other.
class Hostile : public ::testing::Test {
 protected:
  void expect_end() {
    EXPECT_EQ(lane.wait(), LaneClient::kDied);
    const int status = session.wait_for_end();
    EXPECT_TRUE(WIFEXITED(status)) << status;
    EXPECT_NE(WEXITSTATUS(status), 0);
  }

  Session session;
  LaneClient lane{session, 0};
};

TEST_F(Hostile, UnknownKind) {
  lane.submit(static_cast<abi::SubmissionKind>(9), 0, {}, -1, false);
  expect_end();
}

TEST_F(Hostile, ReplyWithoutUpcall) {
  lane.submit(abi::SubmissionKind::kUpcallReply, 0, {5}, -1, false);
  expect_end();
}

TEST_F(Hostile, CallInsteadOfReply) {
  char byte;
  lane.submit(abi::SubmissionKind::kCall, SYS_write, {1, ptr(&byte), 1}, -1, false);
  lane.submit(abi::SubmissionKind::kOp, static_cast<uint32_t>(abi::Op::kNull), {}, -1, false);
  ::usleep(20'000);
  lane.completed += 1;  // the upcall, unanswered
  expect_end();
}

TEST_F(Hostile, WindowOutsideTheArena) {
  abi::Submission& slot = lane.next();
  slot.nr = SYS_write;
  slot.kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
  slot.arch = static_cast<uint8_t>(abi::Arch::kX86_64);
  slot.window_count = 1;
  slot.windows[0] = {0x1000, 4096, (1u << 20) - 8 + abi::kWindowIn};
  lane.publish();
  expect_end();
}

TEST_F(Hostile, TooManyWindows) {
  abi::Submission& slot = lane.next();
  slot.kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
  slot.arch = static_cast<uint8_t>(abi::Arch::kX86_64);
  slot.window_count = abi::kMaxWindows + 1;
  lane.publish();
  expect_end();
}

TEST_F(Hostile, BadMessages) {
  const std::pair<abi::MessageType, uint32_t> bad[] = {
      {abi::MessageType::kAttachLane, 8}, {abi::MessageType::kCancel, 1000},
      {abi::MessageType::kBell, 0},       {abi::MessageType::kFetch, 0},
      {abi::MessageType::kWelcome, 0},    {static_cast<abi::MessageType>(77), 0}};
  for (const auto& [type, number] : bad) {
    Session one;
    one.send(type, number);
    EXPECT_NE(WEXITSTATUS(one.wait_for_end()), 0);
  }
  Session two;
  ASSERT_EQ(::send(two.socket.get(), "short", 5, 0), 5);
  two.wait_for_end();
}

TEST_F(Hostile, WrongAnswersToUpcalls) {
  // Counts beyond what was asked, and negative nonsense. The call fails or is short, and the
  // session lives.
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  for (const int64_t answer : {int64_t{1} << 40, int64_t{-1}, INT64_MIN, int64_t{0}}) {
    LaneClient other(session, 1);
    char text[16] = "text";
    other.submit(abi::SubmissionKind::kCall, SYS_write, {10, ptr(text), 16}, -1, false);
    int64_t result = 1;
    for (bool done = false; !done;) {
      abi::Completion& slot = other.view.completions[other.completed % abi::kRingSlots];
      while (slot.turn.load(std::memory_order_acquire) != other.completed + 1) ::sched_yield();
      other.completed++;
      done = slot.kind == static_cast<uint8_t>(abi::CompletionKind::kDone);
      result = slot.result;
      if (!done)
        other.submit(abi::SubmissionKind::kUpcallReply, 0, {static_cast<uint64_t>(answer)}, -1,
                     false);
    }
    EXPECT_LT(result, 0);
  }
  EXPECT_EQ(lane.op(abi::Op::kNull), 0);
}

TEST_F(Hostile, ScribblesWhileItRuns) {
  LaneClient victim(session, 1);
  const pid_t scribbler = ::fork();
  if (scribbler == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (uint32_t x = 12345;;) {
      x = x * 1664525 + 1013904223;
      victim.view.arena[x >> 12] = static_cast<uint8_t>(x);
      abi::Submission& slot = victim.view.submissions[x % abi::kRingSlots];
      slot.args[x >> 8 & 3] = x;
      slot.windows[x >> 4 & 7].addr = x;
      victim.view.control->completion_position = x;
      victim.view.control->submission_position = x;
    }
  }
  char text[64];
  for (int i = 0; i < 400; i++) {
    victim.submit(abi::SubmissionKind::kCall, i % 2 ? SYS_write : SYS_recvfrom,
                  {10, ptr(text), sizeof text, MSG_DONTWAIT, 0, 0}, -1, true);
    if (victim.wait() == LaneClient::kDied) break;
  }
  ::kill(scribbler, SIGKILL);
  ::waitpid(scribbler, nullptr, 0);
}

TEST_F(Hostile, ManyCancelsAndBells) {
  for (uint32_t i = 0; i < 2000; i++) {
    session.send(abi::MessageType::kCancel, i % 8, i);
    int fd = ::open("/dev/null", O_RDONLY);
    session.send(abi::MessageType::kBell, i % 8, 0, fd);
    ::close(fd);
  }
  EXPECT_EQ(lane.op(abi::Op::kNull), 0);
}

}  // namespace
}  // namespace mino::test
