// SPDX-License-Identifier: Apache-2.0
//
// No wake-up is lost. An idle instance is asked at random moments, by calls (the doorbell) and by
// packets (the uplink's signal), around the moment at which it goes to sleep. Only the next timer
// would make up for a lost wake-up, up to seconds later. And an idle instance uses no processor.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "test/linux_engine/device.h"

namespace mino::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLost{400};  // far above any wake-up, far below a lost one

void pause_for(std::chrono::microseconds time) {
  const auto until = Clock::now() + time;
  while (Clock::now() < until) {
    if (until - Clock::now() > std::chrono::microseconds(200)) ::usleep(50);
  }
}

TEST(Waiting, NoDoorbellIsLost) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  std::mt19937 random(1);
  int lost = 0;
  for (int i = 0; i < 6000; i++) {
    pause_for(std::chrono::microseconds(random() % 400));
    const auto start = Clock::now();
    ASSERT_EQ(lane.op(abi::Op::kNull), 0);
    lost += Clock::now() - start > kLost;
  }
  EXPECT_EQ(lost, 0);
}

// A lane that has slept looks at all lanes, itself included, after its 64th round trip.
TEST(Waiting, ACancellationEndsWithItsCall) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  auto* header = static_cast<abi::SessionHeader*>(session.base);
  for (int i = 0; i < 20; i++) {
    ASSERT_EQ(lane.call(SYS_poll, {0, 0, 1}), 0) << "round " << i;
    ::usleep(5'000);
    for (int k = 0; k < 63; k++) ASSERT_EQ(lane.op(abi::Op::kNull), 0);
    constexpr uint64_t kForEver = ~uint64_t{0};
    lane.submit(abi::SubmissionKind::kCall, SYS_poll, {0, 0, kForEver}, -1, false);
    lane.view.control->cancel_turn.store(lane.submitted);
    header->doorbell.fetch_add(1);
    futex_wake(header->doorbell);
    ASSERT_LT(lane.wait(), 0);
  }
}

TEST(Waiting, ACancellationEndsWithItsOperation) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  auto* header = static_cast<abi::SessionHeader*>(session.base);
  for (int i = 0; i < 5; i++) {
    constexpr auto kFork = static_cast<uint32_t>(abi::Op::kFork);
    lane.submit(abi::SubmissionKind::kOp, kFork, {}, -1, false);
    lane.view.control->cancel_turn.store(lane.submitted);
    header->doorbell.fetch_add(1);
    futex_wake(header->doorbell);
    ASSERT_EQ(lane.wait(), 0);
    ASSERT_EQ(session.receive().message.type, abi::MessageType::kChild);
    ASSERT_EQ(lane.call(SYS_poll, {0, 0, 20}), 0) << "round " << i;
  }
}

TEST(Waiting, NoPacketIsSleptOver) {
  const char* address = std::getenv("MINO_ADDRESS");
  ASSERT_NE(address, nullptr);
  const Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  ASSERT_TRUE(socket.valid());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  ASSERT_EQ(::inet_pton(AF_INET, address, &to.sin_addr), 1);
  const timeval patience{5, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const auto id = static_cast<uint16_t>(::getpid());
  std::mt19937 random(2);
  int lost = 0;
  for (uint16_t sequence = 1; sequence <= 6000; sequence++) {
    pause_for(std::chrono::microseconds(random() % 400));
    icmphdr echo{};
    echo.type = ICMP_ECHO;
    echo.un.echo.id = id;
    echo.un.echo.sequence = sequence;
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++) sum += reinterpret_cast<uint16_t*>(&echo)[i];
    echo.checksum = static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16)));
    const auto start = Clock::now();
    ASSERT_EQ(::send(socket.get(), &echo, sizeof echo, 0), static_cast<ssize_t>(sizeof echo));
    for (;;) {
      char packet[256];
      const ssize_t n = ::recv(socket.get(), packet, sizeof packet, 0);
      ASSERT_GT(n, 0) << "no answer within five seconds";
      icmphdr answer;
      std::memcpy(&answer, packet + (packet[0] & 15) * 4, sizeof answer);
      if (answer.type == ICMP_ECHOREPLY && answer.un.echo.id == id &&
          answer.un.echo.sequence == sequence) {
        break;
      }
    }
    lost += Clock::now() - start > kLost;
  }
  EXPECT_EQ(lost, 0);
}

// Clock ticks of 10 ms.
long cpu_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream words(text.substr(text.rfind(')') + 2));
  std::string word;
  long ticks = 0;
  for (int i = 3; words >> word; i++) {
    if (i == 14 || i == 15) ticks += std::stol(word);
  }
  return ticks;
}

TEST(Waiting, IdleUsesNoProcessor) {
  const char* instance = std::getenv("MINO_INSTANCE");
  ASSERT_NE(instance, nullptr);
  Session session(Options{2, 64 << 10}, device());
  LaneClient first(session, 0), second(session, 1);
  ASSERT_EQ(first.op(abi::Op::kNull), 0);
  ASSERT_EQ(second.op(abi::Op::kNull), 0);
  ::usleep(300'000);
  const long before = cpu_of(instance);
  ::usleep(3'000'000);
  EXPECT_LE(cpu_of(instance) - before, 3) << "ticks of 10 ms in 3 s";
}

}  // namespace
}  // namespace mino::test
