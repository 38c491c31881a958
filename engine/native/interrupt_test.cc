// SPDX-License-Identifier: Apache-2.0
//
// Interrupted calls: cancellation and what the kernel says about restarting, growth of the file
// table while calls are blocked, and bells.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

#include "engine/testing/client.h"

namespace mino::test {
namespace {

constexpr int64_t kRestart = abi::kErestartsys, kNoRestart = abi::kErestartnohand;

class Interrupt : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
    ASSERT_EQ(lane.call(SYS_listen, {11, 8}), 0);
    socklen_t size = sizeof listener;
    ASSERT_EQ(lane.call(SYS_getsockname, {11, ptr(&listener), ptr(&size)}), 0);
    listener.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }

  // Starts a call, lets it block for `ms`, and cancels it.
  int64_t cancelled(uint32_t nr, std::initializer_list<uint64_t> args, int install_fd = -1,
                    int ms = 10) {
    const uint32_t turn = lane.submit(abi::SubmissionKind::kCall, nr, args, install_fd, true);
    if (ms > 0) ::usleep(static_cast<useconds_t>(ms) * 1000);
    session.send(abi::MessageType::kCancel, lane.index, turn);
    return lane.wait();
  }

  Session session;
  LaneClient lane{session, 0};
  sockaddr_in listener{};
  char bytes[64]{};
};

TEST_F(Interrupt, BlockedCallsAreRestartable) {
  EXPECT_EQ(cancelled(SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}), kRestart);
  EXPECT_EQ(cancelled(SYS_read, {10, ptr(bytes), 8}), kRestart);
  EXPECT_EQ(cancelled(SYS_accept, {11, 0, 0}, 20), kRestart);
  EXPECT_EQ(cancelled(SYS_accept4, {11, 0, 0, 0}, 20), kRestart);
}

TEST_F(Interrupt, WaitingCallsAreNot) {
  pollfd one{10, POLLIN, 0};
  EXPECT_EQ(cancelled(SYS_poll, {ptr(&one), 1, static_cast<uint64_t>(-1)}), kNoRestart);
  EXPECT_EQ(cancelled(SYS_poll, {ptr(&one), 1, 30000}), kNoRestart);
  timespec left{30, 0};
  EXPECT_EQ(cancelled(SYS_ppoll, {ptr(&one), 1, ptr(&left), 0, 8}), kNoRestart);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(10, &set);
  EXPECT_EQ(cancelled(SYS_select, {11, ptr(&set), 0, 0, 0}), kNoRestart);
  EXPECT_TRUE(FD_ISSET(10, &set));
  EXPECT_EQ(cancelled(SYS_pselect6, {11, ptr(&set), 0, 0, 0, 0}), kNoRestart);
  ASSERT_EQ(lane.call(SYS_epoll_create1, {0}, 20), 20);
  epoll_event events[4];
  EXPECT_EQ(cancelled(SYS_epoll_wait, {20, ptr(events), 4, static_cast<uint64_t>(-1)}), kNoRestart);
}

TEST_F(Interrupt, TimeoutsMakeIt_EINTR) {
  const timeval timeout{30, 0};
  ASSERT_EQ(lane.call(SYS_setsockopt, {10, SOL_SOCKET, SO_RCVTIMEO, ptr(&timeout), sizeof timeout}),
            0);
  EXPECT_EQ(cancelled(SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}), -EINTR);
  ASSERT_EQ(lane.call(SYS_setsockopt, {11, SOL_SOCKET, SO_RCVTIMEO, ptr(&timeout), sizeof timeout}),
            0);
  EXPECT_EQ(cancelled(SYS_accept, {11, 0, 0}, 20), -EINTR);
}

TEST_F(Interrupt, PartialTransferIsCounted) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 12), 12);
  ASSERT_EQ(lane.call(SYS_connect, {12, ptr(&listener), sizeof listener}), 0);
  ASSERT_EQ(lane.call(SYS_accept, {11, 0, 0}, 13), 13);
  std::string big(32 << 20, 'x');
  const int64_t sent = cancelled(SYS_write, {12, ptr(big.data()), big.size()}, -1, 50);
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<int64_t>(big.size()));
  ASSERT_EQ(lane.call(SYS_write, {13, ptr(bytes), 5}), 5);
  // MSG_WAITALL, when some bytes are there already.
  EXPECT_EQ(cancelled(SYS_recvfrom, {12, ptr(bytes), 64, MSG_WAITALL, 0, 0}), 5);
}

TEST_F(Interrupt, CancelIsForOneTurnOnly) {
  const uint32_t turn = lane.submit(abi::SubmissionKind::kCall, SYS_fcntl, {10, F_GETFL}, -1, true);
  EXPECT_EQ(lane.wait(), O_RDWR);
  session.send(abi::MessageType::kCancel, 0, turn);  // too late
  pollfd one{10, POLLIN, 0};
  EXPECT_EQ(lane.call(SYS_poll, {ptr(&one), 1, 50}), 0);
}

TEST_F(Interrupt, CancelMayComeFirst) {
  session.send(abi::MessageType::kCancel, 0, lane.submitted + 1);
  ::usleep(10'000);
  EXPECT_EQ(lane.call(SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}), kRestart);
  // A call that does not block is not disturbed.
  session.send(abi::MessageType::kCancel, 0, lane.submitted + 1);
  ::usleep(10'000);
  EXPECT_EQ(lane.call(SYS_recvfrom, {10, ptr(bytes), 8, MSG_DONTWAIT, 0, 0}), -EAGAIN);
  EXPECT_EQ(lane.call(SYS_recvfrom, {10, ptr(bytes), 8, MSG_DONTWAIT, 0, 0}), -EAGAIN);
}

TEST_F(Interrupt, CancelRacesWithTheCall) {
  for (int i = 0; i < 300; i++) {
    const int64_t result = cancelled(SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}, -1, 0);
    ASSERT_EQ(result, kRestart) << i;
    ASSERT_EQ(lane.call(SYS_recvfrom, {10, ptr(bytes), 8, MSG_DONTWAIT, 0, 0}), -EAGAIN);
  }
}

TEST_F(Interrupt, GrowthDoesNotDisturbABlockedAccept) {
  LaneClient accepting(session, 1), timed(session, 2);
  accepting.submit(abi::SubmissionKind::kCall, SYS_accept, {11, 0, 0}, 300, true);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 12), 12);
  ASSERT_EQ(lane.call(SYS_listen, {12, 8}), 0);
  const timeval timeout{30, 0};
  ASSERT_EQ(lane.call(SYS_setsockopt, {12, SOL_SOCKET, SO_RCVTIMEO, ptr(&timeout), sizeof timeout}),
            0);
  timed.submit(abi::SubmissionKind::kCall, SYS_accept, {12, 0, 0}, 301, true);
  ::usleep(20'000);
  // Numbers that the blocked accepts may have reserved, and numbers that are far away.
  for (const int number : {256, 257, 258, 259, 511, 512, 513, 1030, 5000, 12000}) {
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, number), number);
    ASSERT_EQ(lane.call(SYS_fcntl, {static_cast<uint64_t>(number), F_GETFL}), O_RDWR);
    ASSERT_EQ(lane.call(SYS_fcntl, {static_cast<uint64_t>(number) + 100, F_GETFL}), -EBADF);
  }
  int64_t result;
  EXPECT_FALSE(accepting.poll_once(result));
  EXPECT_FALSE(timed.poll_once(result));
  ASSERT_EQ(lane.call(SYS_connect, {256, ptr(&listener), sizeof listener}), 0);
  EXPECT_EQ(accepting.wait(), 300);
  EXPECT_EQ(lane.call(SYS_fcntl, {300, F_GETFL}), O_RDWR);
  sockaddr_in other{};
  socklen_t size = sizeof other;
  ASSERT_EQ(lane.call(SYS_getsockname, {12, ptr(&other), ptr(&size)}), 0);
  ASSERT_EQ(lane.call(SYS_connect, {257, ptr(&other), sizeof other}), 0);
  EXPECT_EQ(timed.wait(), 301);
}

TEST_F(Interrupt, GrowthUnderLoad) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint32_t t = 1; t <= 3; t++) {
    threads.emplace_back([this, t, &stop] {
      LaneClient mine(session, t);
      const int number = 100 + static_cast<int>(t);
      while (!stop) {
        EXPECT_EQ(mine.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, number), number);
        EXPECT_EQ(mine.call(SYS_fcntl, {static_cast<uint64_t>(number), F_GETFL}), O_RDWR);
        EXPECT_EQ(mine.call(SYS_close, {static_cast<uint64_t>(number)}), 0);
      }
    });
  }
  for (int number = 200; number < 6000; number += 97) {
    EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, number), number);
    EXPECT_EQ(lane.call(SYS_fcntl, {static_cast<uint64_t>(number), F_GETFL}), O_RDWR);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Interrupt, GrowthDoesNotWaitForALingeringClose) {
  // The peer takes nothing: with data unsent, close() lingers.
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 12), 12);
  ASSERT_EQ(lane.call(SYS_connect, {12, ptr(&listener), sizeof listener}), 0);
  ASSERT_EQ(lane.call(SYS_accept, {11, 0, 0}, 13), 13);
  const linger patient{1, 60};
  ASSERT_EQ(lane.call(SYS_setsockopt, {12, SOL_SOCKET, SO_LINGER, ptr(&patient), sizeof patient}),
            0);
  std::string big(16 << 20, 'x');
  ASSERT_GT(lane.call(SYS_sendto, {12, ptr(big.data()), big.size(), MSG_DONTWAIT, 0, 0}), 0);
  LaneClient closing(session, 1);
  closing.submit(abi::SubmissionKind::kCall, SYS_close, {12}, -1, true);
  ::usleep(30'000);
  int64_t result;
  ASSERT_FALSE(closing.poll_once(result));
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 12),
            12);  // the number is free already
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 700), 700);
  EXPECT_EQ(closing.wait(), 0);
}

TEST_F(Interrupt, ALingeringCloseCanBeCancelled) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 12), 12);
  ASSERT_EQ(lane.call(SYS_connect, {12, ptr(&listener), sizeof listener}), 0);
  const linger patient{1, 60};
  ASSERT_EQ(lane.call(SYS_setsockopt, {12, SOL_SOCKET, SO_LINGER, ptr(&patient), sizeof patient}),
            0);
  std::string big(16 << 20, 'x');
  ASSERT_GT(lane.call(SYS_sendto, {12, ptr(big.data()), big.size(), MSG_DONTWAIT, 0, 0}), 0);
  EXPECT_EQ(cancelled(SYS_close, {12}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {12, F_GETFL}), -EBADF);
}

TEST_F(Interrupt, NumbersEndSomewhere) {
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, abi::kMaxFd - 1), -EMFILE);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, abi::kMaxFd), -EBADF);
  EXPECT_EQ(lane.call(SYS_dup2, {10, 1u << 30}, 1 << 30), -EBADF);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 12000), 12000);
  EXPECT_EQ(lane.call(SYS_close, {12000}), 0);
}

TEST_F(Interrupt, BellWakesAMixedWait) {
  Fd bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  lane.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}, -1, true);
  lane.view.control->client_sleeping.store(abi::kOnBell);
  session.send(abi::MessageType::kBell, 0, 0, bell.get());
  pollfd waiting{bell.get(), POLLIN, 0};
  uint64_t count;
  ASSERT_EQ(::poll(&waiting, 1, 2000), 1);  // a new bell rings once, in case it was missed
  ASSERT_EQ(::read(bell.get(), &count, 8), 8);
  EXPECT_EQ(::poll(&waiting, 1, 20), 0);

  LaneClient sender(session, 1);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(sender.call(SYS_bind, {10, ptr(&address), sizeof address}), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(sender.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
  for (const int move_to : {0, 3000, 0}) {  // growth moves the device's copy of the bell
    if (move_to) {
      ASSERT_EQ(sender.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, move_to), move_to);
    }
    ASSERT_EQ(sender.call(SYS_sendto, {10, ptr(bytes), 3, 0, ptr(&address), sizeof address}), 3);
    ASSERT_EQ(::poll(&waiting, 1, 2000), 1);
    ASSERT_EQ(::read(bell.get(), &count, 8), 8);
    EXPECT_EQ(lane.wait(), 3);
    lane.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}, -1, true);
    lane.view.control->client_sleeping.store(abi::kOnBell);
  }
}

TEST_F(Interrupt, SleepersAreIdle) {
  lane.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, ptr(bytes), 8, 0, 0, 0}, -1, true);
  LaneClient other(session, 1);
  ASSERT_EQ(other.op(abi::Op::kNull), 0);
  ::usleep(50'000);
  const auto cpu = [this] {
    char path[64], text[512]{};
    std::snprintf(path, sizeof path, "/proc/%d/stat", session.proxy);
    const int fd = ::open(path, O_RDONLY);
    (void)!::read(fd, text, sizeof text - 1);
    ::close(fd);
    unsigned long user = 0, system = 0;
    std::sscanf(std::strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                &user, &system);
    return user + system;
  };
  const unsigned long before = cpu();
  ::usleep(500'000);
  EXPECT_EQ(cpu(), before);
}

}  // namespace
}  // namespace mino::test
