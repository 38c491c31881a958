// SPDX-License-Identifier: Apache-2.0
//
// Session memory and the session socket: sizes, seals, and messages that are not in order.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "channel/descriptor_passing.h"
#include "channel/session_memory.h"
#include "channel/session_socket.h"

namespace mino {
namespace {

struct Pair {
  Pair() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
    ours = Fd(both[0]);
    theirs = Fd(both[1]);
  }
  Fd ours, theirs;
};

TEST(SessionSocket, CarriesMessagesFilesAndTheSender) {
  Pair pair;
  ASSERT_TRUE(report_senders(pair.ours.get()));
  Incoming incoming;
  EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kNothing);
  abi::Message message;
  message.type = abi::MessageType::kBell;
  message.lane = 7;
  const Fd one(::open("/dev/null", O_RDONLY)), two(::open("/dev/zero", O_RDONLY));
  ASSERT_TRUE(post_message(pair.theirs.get(), message, {one.get(), two.get()}));
  ASSERT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kMessage);
  EXPECT_EQ(incoming.message.lane, 7u);
  EXPECT_EQ(incoming.sender, ::getpid());
  EXPECT_EQ(incoming.uid, ::getuid());
  ASSERT_EQ(incoming.file_count, 2);
  struct stat sent{}, got{};
  ASSERT_EQ(::fstat(two.get(), &sent), 0);
  ASSERT_EQ(::fstat(incoming.files[1].get(), &got), 0);
  EXPECT_EQ(sent.st_rdev, got.st_rdev);
  EXPECT_TRUE(::fcntl(incoming.files[0].get(), F_GETFD) & FD_CLOEXEC);
}

TEST(SessionSocket, RefusesWhatIsNoMessage) {
  Incoming incoming;
  {
    Pair pair;
    ASSERT_EQ(::send(pair.theirs.get(), "hello", 5, 0), 5);
    EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
    char big[300]{};
    ASSERT_EQ(::send(pair.theirs.get(), big, sizeof big, 0), 300);
    EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
    abi::Message message;
    message.magic++;
    ASSERT_TRUE(post_message(pair.theirs.get(), message));
    EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
    message.magic--;
    message.version++;
    ASSERT_TRUE(post_message(pair.theirs.get(), message));
    EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
  }
  Pair pair;
  pair.theirs.reset();
  EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
}

// Descriptors beyond those expected must not stay open.
TEST(SessionSocket, ClosesExcessFiles) {
  Pair pair;
  const Fd file(::open("/dev/null", O_RDONLY));
  const int next_before = ::dup(file.get());
  ::close(next_before);
  abi::Message message;
  const std::vector<int> files(8, file.get());
  ASSERT_TRUE(send_datagram(pair.theirs.get(), &message, sizeof message, files, 0));
  {
    Incoming incoming;
    EXPECT_EQ(receive_message(pair.ours.get(), incoming), Arrival::kBroken);
  }
  const int next_after = ::dup(file.get());
  ::close(next_after);
  EXPECT_EQ(next_before, next_after);
}

TEST(SessionSocket, NeverBlocks) {
  Pair pair;
  abi::Message message;
  int sent = 0;
  while (post_message(pair.theirs.get(), message)) sent++;
  EXPECT_GT(sent, 0);
  pair.ours.reset();
  EXPECT_FALSE(post_message(pair.theirs.get(), message));  // and no SIGPIPE
}

TEST(SessionMemory, IsSealed) {
  auto memory = SessionMemory::create(42, 3, 8192);
  ASSERT_TRUE(memory);
  const auto bytes = static_cast<off_t>(abi::session_bytes(3, 8192));
  EXPECT_EQ(::ftruncate(memory->object(), bytes - 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(memory->object(), bytes + 4096), -1);
  EXPECT_EQ(::fcntl(memory->object(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  void* seen = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                      memory->object(), 0);
  ASSERT_NE(seen, MAP_FAILED);
  const auto* header = static_cast<const abi::SessionHeader*>(seen);
  EXPECT_EQ(header->magic, abi::kMagic);
  EXPECT_EQ(header->session_id, 42u);
  EXPECT_EQ(header->lane_count, 3u);
  EXPECT_EQ(header->total_bytes, static_cast<uint64_t>(bytes));
  memory->lane(2).arena[8191] = 9;
  EXPECT_EQ(abi::LaneView::at(seen, 2, 8192).arena[8191], 9);
  ::munmap(seen, static_cast<size_t>(bytes));
}

TEST(SessionMemory, MovesOnce) {
  auto memory = SessionMemory::create(1, 1, 4096);
  ASSERT_TRUE(memory);
  SessionMemory other = std::move(*memory);
  EXPECT_EQ(memory->object(), -1);
  other.lane(0).arena[0] = 1;
}

}  // namespace
}  // namespace mino
