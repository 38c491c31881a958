// SPDX-License-Identifier: Apache-2.0
//
// The life of processes: fork, exec, threads, and deaths in every direction.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include "engine/testing/client.h"

namespace mino::test {
namespace {

bool exists(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

// Waits until a proxy has ended that is not our child by fork(), or is a zombie by now.
bool ends(pid_t pid, int within_ms = 5000) {
  for (int i = 0; i < within_ms; i++) {
    ::waitpid(pid, nullptr, WNOHANG);
    if (!exists(pid)) return true;
    ::usleep(1000);
  }
  return false;
}

struct Forked {
  std::unique_ptr<Session> session;
  SessionStats* stats = nullptr;
};

class Process : public ::testing::Test {
 protected:
  void SetUp() override { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

  Forked fork_session(LaneClient& by) {
    Forked forked;
    if (by.op(abi::Op::kFork) != 0) return forked;
    Incoming incoming = session.receive();
    if (incoming.message.type != abi::MessageType::kChild || incoming.file_count != 2)
      return forked;
    forked.session =
        std::make_unique<Session>(session.options, std::move(incoming.files[0]),
                                  std::move(incoming.files[1]), incoming.message.session_id);
    for (SessionStats& row : session.stats_table->rows) {
      if (row.session_id == incoming.message.session_id) forked.stats = &row;
    }
    return forked;
  }

  Session session;
  LaneClient lane{session, 0};
};

TEST_F(Process, ForkCopiesFiles) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(lane.call(SYS_bind, {10, ptr(&address), sizeof address}), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);

  Forked child = fork_session(lane);
  ASSERT_TRUE(child.session);
  ASSERT_TRUE(child.stats);
  const pid_t pid = child.stats->proxy_pid;
  EXPECT_NE(pid, session.proxy);
  LaneClient other(*child.session, 0);
  EXPECT_EQ(other.call(SYS_fcntl, {10, F_GETFL}), O_RDWR);
  EXPECT_EQ(other.call(SYS_fcntl, {11, F_GETFL}), -EBADF);
  // Both sessions have the socket. From here on, their numbers go separate ways.
  char byte = 'z', got = 0;
  ASSERT_EQ(other.call(SYS_sendto, {10, ptr(&byte), 1, 0, ptr(&address), sizeof address}), 1);
  ASSERT_EQ(lane.call(SYS_recvfrom, {10, ptr(&got), 1, 0, 0, 0}), 1);
  EXPECT_EQ(got, 'z');
  ASSERT_EQ(other.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
  EXPECT_EQ(lane.call(SYS_fcntl, {11, F_GETFL}), -EBADF);
  EXPECT_EQ(other.call(SYS_close, {10}), 0);
  EXPECT_EQ(lane.call(SYS_fcntl, {10, F_GETFL}), O_RDWR);

  // A fork of a fork.
  EXPECT_TRUE(exists(pid));
  child.session->socket.reset();
  EXPECT_TRUE(ends(pid));
  EXPECT_EQ(lane.op(abi::Op::kNull), 0);
}

TEST_F(Process, ForkedSocketsCloseWithTheLastProxy) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(lane.call(SYS_bind, {10, ptr(&address), sizeof address}), 0);
  ASSERT_EQ(lane.call(SYS_listen, {10, 4}), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
  ASSERT_EQ(lane.call(SYS_connect, {11, ptr(&address), sizeof address}), 0);
  ASSERT_EQ(lane.call(SYS_accept, {10, 0, 0}, 12), 12);
  Forked child = fork_session(lane);
  ASSERT_TRUE(child.session);
  const pid_t pid = child.stats->proxy_pid;
  ASSERT_EQ(lane.call(SYS_close, {12}), 0);
  pollfd hung{11, POLLIN, 0};
  EXPECT_EQ(lane.call(SYS_poll, {ptr(&hung), 1, 50}), 0);  // the child still has it
  child.session->socket.reset();
  EXPECT_TRUE(ends(pid));
  EXPECT_EQ(lane.call(SYS_poll, {ptr(&hung), 1, 2000}), 1);
}

TEST_F(Process, AdoptedChildIsWatched) {
  Forked child = fork_session(lane);
  ASSERT_TRUE(child.session);
  const pid_t pid = child.stats->proxy_pid;
  const pid_t client = ::fork();
  if (client == 0) {
    abi::Message message;
    message.type = abi::MessageType::kAdopt;
    std::strcpy(message.text, "adopted");
    post_message(child.session->socket.get(), message);
    ::pause();
    ::_exit(0);
  }
  for (int i = 0; i < 1000 && child.stats->client_pid != client; i++) ::usleep(1000);
  EXPECT_EQ(child.stats->client_pid, client);
  EXPECT_STREQ(child.stats->name, "adopted");
  EXPECT_TRUE(exists(pid));
  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  EXPECT_TRUE(ends(pid));  // although this process still holds the socket
}

TEST_F(Process, ForksOfForksAndManyAtOnce) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  std::vector<Forked> children;
  for (int i = 0; i < 5; i++) {
    children.push_back(fork_session(lane));
    ASSERT_TRUE(children.back().session);
    LaneClient other(*children.back().session, 1);
    EXPECT_EQ(other.call(SYS_fcntl, {10, F_GETFL}), O_RDWR);
    ASSERT_EQ(other.op(abi::Op::kFork), 0);
    Incoming incoming = children.back().session->receive();
    ASSERT_EQ(incoming.message.type, abi::MessageType::kChild);
    Session grandchild(session.options, std::move(incoming.files[0]), std::move(incoming.files[1]),
                       0);
    LaneClient third(grandchild, 0);
    EXPECT_EQ(third.call(SYS_fcntl, {10, F_GETFL}), O_RDWR);
  }
}

TEST_F(Process, KilledProxyWakesItsClient) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  const pid_t proxy = session.proxy;
  std::thread killer([proxy] {
    ::usleep(50'000);
    ::kill(proxy, SIGKILL);
  });
  char byte;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(lane.call(SYS_recvfrom, {10, ptr(&byte), 1, 0, 0, 0}), LaneClient::kDied);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  killer.join();
  EXPECT_TRUE(WIFSIGNALED(session.wait_for_end()));
}

TEST_F(Process, HangUpEndsTheProxy) {
  session.socket.reset();
  const int status = session.wait_for_end();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Process, HangUpEndsABlockedProxy) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  char byte;
  lane.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, ptr(&byte), 1, 0, 0, 0}, -1, true);
  ::usleep(20'000);
  session.socket.reset();
  EXPECT_EQ(WEXITSTATUS(session.wait_for_end()), 0);
}

TEST(ProcessDeath, DeadClientEndsItsProxyAlthoughTheSocketLivesOn) {
  int pair[2];
  ASSERT_EQ(::pipe(pair), 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t client = ::fork();
  if (client == 0) {
    Session session;
    LaneClient lane(session, 0);
    if (::fork() == 0) ::pause();  // holds the socket
    (void)!::write(pair[1], &session.proxy, sizeof session.proxy);
    ::pause();
  }
  pid_t proxy = 0;
  ASSERT_EQ(::read(pair[0], &proxy, sizeof proxy), static_cast<ssize_t>(sizeof proxy));
  const std::string children =
      "/proc/" + std::to_string(client) + "/task/" + std::to_string(client) + "/children";
  char list[128]{};
  const int fd = ::open(children.c_str(), O_RDONLY);
  (void)!::read(fd, list, sizeof list - 1);
  ::close(fd);
  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  EXPECT_TRUE(ends(proxy));
  for (char* word = std::strtok(list, " "); word; word = std::strtok(nullptr, " ")) {
    const pid_t pid = std::atoi(word);
    if (pid != proxy && pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  ::close(pair[0]);
  ::close(pair[1]);
}

// Clients with threads in blocked and in busy calls are killed at any moment, and so are their
// forks.
TEST(ProcessDeath, KilledClientsLeaveNoProxy) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int round = 0; round < 25; round++) {
    const pid_t client = ::fork();
    if (client == 0) {
      Session session;
      LaneClient lane(session, 0);
      lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10);
      lane.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, 0, 0, 0, 0, 0}, -1, true);
      LaneClient busy(session, 1);
      for (int i = 0;; i++) {
        busy.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 20 + i % 500);
        if (i % 50 == 0) busy.op(abi::Op::kFork);
      }
    }
    ::usleep(static_cast<useconds_t>(round * 997 % 20'000));
    ::kill(client, SIGKILL);
    int status;
    ::waitpid(client, &status, 0);
    // The proxies are children of this process now.
    for (int i = 0; ::waitpid(-1, &status, WNOHANG) >= 0; i++) {
      ASSERT_LT(i, 5000) << "a proxy outlived its client by seconds";
      ::usleep(1000);
    }
  }
}

TEST_F(Process, ExecAfterExec) {
  for (int i = 0; i < 50; i++) {
    LaneClient mine(session, static_cast<uint32_t>(i) % 3);
    ASSERT_EQ(mine.op(abi::Op::kNull), 0);
    ASSERT_TRUE(session.send(abi::MessageType::kReattach));
    session.welcome();
  }
}

TEST_F(Process, ReattachKeepsFilesAndResetsLanes) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 70), 70);
  // One blocked in a call, one waiting for an upcall's answer, one idle: exec leaves all of them
  // behind.
  LaneClient blocked(session, 1), asked(session, 2);
  char byte;
  blocked.submit(abi::SubmissionKind::kCall, SYS_recvfrom, {10, ptr(&byte), 1, 0, 0, 0}, -1, true);
  asked.submit(abi::SubmissionKind::kCall, SYS_sendto, {10, ptr(&byte), 1, 0, 0, 0}, -1, false);
  ::usleep(20'000);
  ASSERT_TRUE(session.send(abi::MessageType::kReattach));
  session.welcome();
  LaneClient again(session, 0);
  EXPECT_EQ(again.submitted, 0u);
  EXPECT_EQ(again.completed, 0u);
  uint8_t bitmap[16]{};
  EXPECT_EQ(again.op(abi::Op::kListFds, {ptr(bitmap), sizeof bitmap}), 9);
  EXPECT_EQ(bitmap[1], 1 << 2);
  EXPECT_EQ(bitmap[8], 1 << 6);
  EXPECT_EQ(again.call(SYS_fcntl, {10, F_GETFL}), O_RDWR);
  LaneClient more(session, 1);
  EXPECT_EQ(more.op(abi::Op::kNull), 0);
  LaneClient fresh(session, 5);
  EXPECT_EQ(fresh.op(abi::Op::kNull), 0);
}

TEST_F(Process, LanesAreHandedOn) {
  for (int i = 0; i < 4; i++) {
    std::thread owner([this] {
      LaneClient mine(session, 3);
      EXPECT_EQ(mine.op(abi::Op::kNull), 0);
      EXPECT_EQ(mine.op(abi::Op::kLaneExit), 0);
      *mine.view.state = static_cast<uint32_t>(abi::LaneState::kFree);
    });
    owner.join();
  }
  EXPECT_LE(session.stats->lanes, 2u);
}

TEST_F(Process, CredentialsFollowTheClient) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  LaneClient privileged(session, 1);
  ASSERT_EQ(lane.call(SYS_setresuid, {1000, 1000, 1000}), 0);
  // A raw socket needs CAP_NET_RAW. This thread has lost it, and so have threads that come later,
  // but not the other thread.
  constexpr int kIcmp = 1;
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_RAW, kIcmp}, 10), -EPERM);
  LaneClient later(session, 2);
  EXPECT_EQ(later.call(SYS_socket, {AF_INET, SOCK_RAW, kIcmp}, 10), -EPERM);
  EXPECT_EQ(privileged.call(SYS_socket, {AF_INET, SOCK_RAW, kIcmp}, 10), 10);
  // Another owner of this lane starts with the credentials of the process.
  EXPECT_EQ(lane.op(abi::Op::kLaneExit), 0);
  LaneClient next(session, 0);
  EXPECT_EQ(next.op(abi::Op::kNull), 0);
  EXPECT_EQ(next.call(SYS_socket, {AF_INET, SOCK_RAW, kIcmp}, 10), -EPERM);
  Forked child = fork_session(next);
  ASSERT_TRUE(child.session);
  LaneClient other(*child.session, 0);
  EXPECT_EQ(other.call(SYS_socket, {AF_INET, SOCK_RAW, kIcmp}, 10), -EPERM);
}

}  // namespace
}  // namespace mino::test
