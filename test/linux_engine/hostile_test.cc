// SPDX-License-Identifier: Apache-2.0
//
// Hostile clients: random requests with random windows, rings and arena overwritten while they are
// in use, meaningless control messages, sudden ends. An honest session works on meanwhile, and the
// kernel must survive everything (with_device.sh checks that). MINO_SECONDS says for how long.
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <csignal>
#include <random>
#include <vector>

#include "test/linux_engine/device.h"

namespace mino::test {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::seconds duration() {
  const char* seconds = std::getenv("MINO_SECONDS");
  return std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 20);
}

// The life of one hostile client. It ends by killing itself, or when the device ends the session.
class Attacker {
 public:
  explicit Attacker(uint64_t seed) : random_(seed), session_(Options{4, 64 << 10}, device()) {}

  void attack() {
    std::atomic<bool> stop{false};
    std::vector<LaneClient> lanes;
    for (uint32_t i = 0; i < 2; i++) lanes.emplace_back(session_, i);
    std::thread scribbler;
    if (pick(2) == 0) scribbler = std::thread([this, &stop] { scribble(stop); });
    bool alive = true;
    for (int i = 0; i < 300 && alive; i++) {
      for (LaneClient& lane : lanes) alive = request(lane) && alive;
      if (pick(100) == 0) send_nonsense();
    }
    if (pick(2) == 0) ::kill(::getpid(), SIGKILL);
    stop = true;
    if (scribbler.joinable()) scribbler.join();
  }

 private:
  uint64_t pick(uint64_t below) { return random_() % below; }

  uint64_t argument() {
    switch (pick(8)) {
      case 0:
        return pick(40);
      case 1:
        return random_();
      case 2:
        return ptr(memory_) + pick(sizeof memory_);
      case 3:
        return static_cast<uint64_t>(-1) - pick(4096);
      case 4:
        return uint64_t{1} << pick(64);
      case 5:
        return ptr(memory_);
      case 6:
        return 0;
      default:
        return pick(70000);
    }
  }

  // Calls about sockets and files most of the time, any number otherwise.
  uint32_t number() {
    static constexpr uint16_t kUsual[] = {0,   1,   2,   3,   5,   7,   8,   16,  17,  18,  19,
                                          20,  22,  23,  32,  33,  41,  42,  43,  44,  45,  46,
                                          47,  48,  49,  50,  51,  52,  53,  54,  55,  72,  79,
                                          80,  213, 217, 232, 233, 257, 262, 270, 271, 275, 288,
                                          291, 292, 299, 307, 326, 327, 328, 332, 436, 437, 441};
    if (pick(4) != 0) return kUsual[pick(std::size(kUsual))];
    return static_cast<uint32_t>(pick(480));
  }

  bool request(LaneClient& lane) {
    abi::Submission& slot = lane.next();
    slot.install_fd =
        pick(3) == 0 ? static_cast<int32_t>(random_()) : static_cast<int32_t>(pick(32));
    slot.kind = static_cast<uint8_t>(pick(50) == 0 ? pick(256) : pick(20) == 0 ? 2 : 1);
    slot.nr = slot.kind == 2 ? static_cast<uint32_t>(pick(16)) : number();
    slot.flags = static_cast<uint8_t>(pick(4));
    slot.arch = static_cast<uint8_t>(pick(50) == 0 ? pick(256) : 1);
    for (uint64_t& arg : slot.args) arg = argument();
    slot.window_count = static_cast<uint8_t>(pick(100) == 0 ? pick(256) : pick(6));
    for (uint8_t i = 0; i < slot.window_count && i < abi::kMaxWindows; i++) {
      const uint32_t off = static_cast<uint32_t>(pick(60 << 10)) & ~7u;
      const bool wild = pick(200) == 0;
      slot.windows[i] = {
          argument(), static_cast<uint32_t>(wild ? random_() : pick(4096)),
          (wild ? static_cast<uint32_t>(random_()) : off) | static_cast<uint32_t>(1 + pick(3))};
    }
    lane.publish();
    // Waits for an answer, cancels the call, or loses patience.
    int64_t result;
    const auto start = Clock::now();
    bool cancelled = false;
    while (!lane.poll_once(result)) {
      const auto waited = Clock::now() - start;
      const uint32_t alive = lane.view.control->liveness.load();
      if (alive == 0 || (alive & FUTEX_OWNER_DIED) != 0) return false;
      if (waited > std::chrono::milliseconds(2) && !cancelled) {
        cancelled = true;
        lane.view.control->cancel_turn.store(lane.submitted);
        auto* header = static_cast<abi::SessionHeader*>(session_.base);
        header->doorbell.fetch_add(1);
        futex_wake(header->doorbell);
      }
      if (waited > std::chrono::milliseconds(50)) return false;
      ::sched_yield();
    }
    return true;
  }

  void scribble(const std::atomic<bool>& stop) {
    std::mt19937_64 random(random_());
    auto* bytes = static_cast<volatile uint8_t*>(session_.base);
    const uint64_t used = 4096 + 2 * uint64_t{abi::lane_stride(64 << 10)};
    while (!stop) {
      for (int i = 0; i < 50; i++) {
        uint64_t at = random() % used;
        if (at >= 64 && random() % 4 != 0) at = 4096 + 4096 + random() % (24 << 10);  // rings
        bytes[at] = static_cast<uint8_t>(random());
      }
      ::usleep(50);
    }
  }

  void send_nonsense() {
    if (pick(4) != 0) {
      session_.send(static_cast<abi::MessageType>(4 + pick(3)), static_cast<uint32_t>(pick(6)),
                    static_cast<uint32_t>(random_()));
      return;
    }
    abi::Message message;
    for (uint64_t& word : reinterpret_cast<uint64_t(&)[sizeof message / 8]>(message))
      word = random_();
    ::send(session_.socket.get(), &message, 1 + pick(sizeof message), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  std::mt19937_64 random_;
  Session session_;
  alignas(64) char memory_[8192]{};
};

pid_t start_attacker(uint64_t seed) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(65534, 65534, 65534) != 0 ||
      ::setresuid(65534, 65534, 65534) != 0) {
    ::_exit(2);
  }
  ::prctl(PR_SET_DUMPABLE, 1);  // it reads its own memory by process_vm_readv
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 2);
  Attacker(seed).attack();
  ::_exit(0);
}

// One round of an honest client: a connection, some bytes, the end.
void honest_round(LaneClient& lane, uint32_t round) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
  ASSERT_EQ(lane.call(SYS_bind, {10, ptr(&address), 16}), 0);
  ASSERT_EQ(lane.call(SYS_listen, {10, 1}), 0);
  ASSERT_EQ(lane.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 11), 11);
  ASSERT_EQ(lane.call(SYS_connect, {11, ptr(&address), 16}), 0);
  ASSERT_EQ(lane.call(SYS_accept4, {10, 0, 0, 0}, 12), 12);
  std::string sent(3000, static_cast<char>('a' + round % 26)), got(3000, '\0');
  ASSERT_EQ(lane.call(SYS_sendto, {11, ptr(sent.data()), 3000, 0, 0, 0}), 3000);
  ASSERT_EQ(lane.call(SYS_recvfrom, {12, ptr(got.data()), 3000, MSG_WAITALL, 0, 0}), 3000);
  ASSERT_EQ(got, sent);
  for (const uint64_t fd : {10, 11, 12}) ASSERT_EQ(lane.call(SYS_close, {fd}), 0);
}

TEST(Hostile, OthersAreNotDisturbed) {
  Session honest(Options{1, 64 << 10}, device());
  LaneClient lane(honest, 0);
  const auto end = Clock::now() + duration();
  std::random_device seeds;
  uint64_t seed = seeds();
  RecordProperty("seed", std::to_string(seed));
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::vector<pid_t> attackers(3, 0);
  uint32_t rounds = 0, lives = 0;
  while (Clock::now() < end && !HasFatalFailure()) {
    for (pid_t& attacker : attackers) {
      if (attacker <= 0 || ::waitpid(attacker, nullptr, WNOHANG) == attacker) {
        attacker = start_attacker(seed++);
        lives++;
      }
    }
    honest_round(lane, rounds++);
  }
  for (const pid_t attacker : attackers) {
    // No attacker was started, or fork() failed. kill() would take either number for a group.
    if (attacker <= 0) continue;
    ::kill(attacker, SIGKILL);
    ::waitpid(attacker, nullptr, 0);
  }
  std::printf("%u hostile clients, %u honest rounds\n", lives, rounds);
  EXPECT_GT(lives, 3u);
}

bool answers(LaneClient& lane) {
  lane.submit(abi::SubmissionKind::kOp, static_cast<uint32_t>(abi::Op::kNull), {}, -1, false);
  int64_t result = -1;
  const auto end = Clock::now() + std::chrono::seconds(5);
  while (!lane.poll_once(result)) {
    if (Clock::now() > end) return false;
    ::usleep(1000);
  }
  return result == 0;
}

// The instance rings the bell when it arrives, and when a client that sleeps on it has its answer.
TEST(Hostile, NoBellKeepsTheInstanceWaiting) {
  Session honest(Options{1, 64 << 10}, device()), hostile(Options{1, 64 << 10}, device());
  LaneClient lane(honest, 0), its(hostile, 0);
  const Fd bell(::eventfd(0, EFD_CLOEXEC));
  uint64_t count = ~uint64_t{1};
  ASSERT_EQ(::write(bell.get(), &count, sizeof count), 8);  // one more would have to wait
  ASSERT_TRUE(hostile.send(abi::MessageType::kBell, 0, 0, bell.get()));
  for (int i = 0; i < 20; i++) {
    its.view.control->client_sleeping.store(abi::kOnBell);
    EXPECT_TRUE(answers(its));
    const bool served = answers(lane);
    EXPECT_TRUE(served);
    if (!served) break;
  }
  EXPECT_EQ(::read(bell.get(), &count, sizeof count), 8);
}

TEST(Hostile, ABellIsAnEventfd) {
  Session honest(Options{1, 64 << 10}, device()), hostile(Options{1, 64 << 10}, device());
  LaneClient lane(honest, 0);
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
  const Fd end(pipe[0]), other(pipe[1]);
  const char bytes[4096]{};
  while (::write(other.get(), bytes, sizeof bytes) > 0) {
  }
  ASSERT_EQ(::fcntl(other.get(), F_SETFL, 0), 0);
  ASSERT_TRUE(hostile.send(abi::MessageType::kBell, 0, 0, other.get()));
  EXPECT_EQ(hostile.receive().message.type, abi::MessageType{});
  EXPECT_TRUE(answers(lane));
}

// What a client may do to its own namespaces, it may not do to the kernel.
TEST(Hostile, NamespacesThatCannotBeMade) {
  Session honest(Options{1, 64 << 10}, device()), hostile(Options{1, 64 << 10}, device());
  LaneClient lane(honest, 0), its(hostile, 0);
  const auto new_spaces = [&its](uint64_t flags) {
    its.submit(abi::SubmissionKind::kOp, static_cast<uint32_t>(abi::Op::kNewUsers), {flags}, -1,
               false);
    int64_t result = 1;
    while (!its.poll_once(result)) ::usleep(100);
    return result;
  };
  ASSERT_EQ(new_spaces(CLONE_NEWUSER | CLONE_NEWNET), 0);
  const char path[] = "/proc/sys/user/max_net_namespaces", none[] = "0";
  ASSERT_EQ(its.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(path), O_WRONLY}, 10), 10);
  ASSERT_EQ(its.call(SYS_write, {10, ptr(none), 1}), 1);
  EXPECT_EQ(new_spaces(CLONE_NEWNET), -ENOSPC);
  EXPECT_TRUE(answers(its));
  EXPECT_TRUE(answers(lane));
}

// Fills every slot of a lane's ring with a call that no signal shortens: 16 MiB into a memory file.
void prepare_long_calls(LaneClient& lane, int file) {
  constexpr uint64_t kAnywhere = 1 << 20;
  for (uint32_t i = 0; i < abi::kRingSlots; i++) {
    abi::Submission& slot = lane.view.submissions[i];
    slot.nr = SYS_pwrite64;
    slot.install_fd = -1;
    slot.kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
    slot.flags = 0;
    slot.arch = static_cast<uint8_t>(abi::Arch::kX86_64);
    slot.args[0] = static_cast<uint64_t>(file);
    slot.args[1] = kAnywhere;
    slot.args[2] = abi::kMaxArenaBytes;
    slot.args[3] = 0;
    slot.window_count = 1;
    slot.windows[0] = {kAnywhere, abi::kMaxArenaBytes, abi::kWindowIn};
  }
}

// Publishes again whatever slots the device has taken.
void fill(const LaneClient& lane) {
  const uint32_t position = lane.view.control->submission_position.load();
  for (uint32_t i = 1; i <= abi::kRingSlots; i++) {
    lane.view.submissions[(position + i - 1) % abi::kRingSlots].turn.store(
        position + i, std::memory_order_release);
  }
}

TEST(Hostile, NoFlowOfCallsKeepsLanesFromTheirReset) {
  Session session(Options{4, abi::kMaxArenaBytes}, device());
  std::vector<LaneClient> lanes;
  for (uint32_t i = 0; i < 4; i++) lanes.emplace_back(session, i);
  const char name[] = "written";
  ASSERT_EQ(lanes[0].call(SYS_memfd_create, {ptr(name), 0}, 10), 10);
  std::atomic<bool> stop{false};
  for (LaneClient& lane : lanes) {
    prepare_long_calls(lane, 10);
    lane.publish();
  }
  std::thread publisher([&] {
    while (!stop) {
      for (const LaneClient& lane : lanes) fill(lane);
      ::usleep(1000);
    }
  });
  for (const LaneClient& lane : lanes) {
    while (lane.view.control->completion_position.load() < 2 * abi::kRingSlots) ::usleep(1000);
  }
  EXPECT_TRUE(session.send(abi::MessageType::kReattach));
  pollfd answer{session.socket.get(), POLLIN, 0};
  if (::poll(&answer, 1, 30'000) == 1) {
    EXPECT_EQ(session.receive().message.type, abi::MessageType::kWelcome);
  } else {
    ADD_FAILURE() << "the lanes still take calls";
  }
  stop = true;
  publisher.join();
}

}  // namespace
}  // namespace mino::test
