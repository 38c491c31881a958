// SPDX-License-Identifier: Apache-2.0
//
// What the walker reports for calls over honest memory, and its bounds over memory that is not.
#include "abi/walk.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <vector>

#include "abi/syscalls.h"

namespace mino::abi {
namespace {

struct OwnReader {
  bool read(uint64_t addr, void* to, uint32_t bytes) {
    if (addr < 65536) return false;
    std::memcpy(to, reinterpret_cast<const void*>(addr), bytes);
    return true;
  }
  int64_t string(uint64_t addr, uint32_t max) {
    if (addr < 65536) return -1;
    const size_t bytes = strnlen(reinterpret_cast<const char*>(addr), max);
    return static_cast<int64_t>(bytes < max ? bytes + 1 : max);
  }
};

struct Collector {
  std::vector<Piece> pieces;
  size_t stop_after = ~size_t{0};
  int32_t piece(const Piece& piece) {
    pieces.push_back(piece);
    return pieces.size() >= stop_after ? Walk<OwnReader, Collector>::kStop
                                       : static_cast<int32_t>(pieces.size() - 1);
  }
};

template <class... Args>
std::vector<Piece> pieces_of(uint64_t nr, Args... arguments) {
  const auto number = [](auto value) {
    if constexpr (std::is_pointer_v<decltype(value)>) {
      return reinterpret_cast<uint64_t>(value);
    } else {
      return static_cast<uint64_t>(value);
    }
  };
  const uint64_t args[6] = {number(arguments)...};
  OwnReader reader;
  Collector collector;
  EXPECT_TRUE(walk(*find_row(nr), args, reader, collector));
  return collector.pieces;
}

TEST(WalkTest, PlainBuffers) {
  char buffer[64];
  const auto pieces = pieces_of(45, 3, buffer, 64, 0, 0, 0);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].addr, reinterpret_cast<uint64_t>(buffer));
  EXPECT_EQ(pieces[0].len, 64u);
  EXPECT_EQ(pieces[0].dir, 2u);
  EXPECT_EQ(pieces[0].slot, 1u);
  EXPECT_EQ(pieces[0].parent, -1);
  EXPECT_TRUE(pieces_of(45, 3, 0, 64, 0, 0, 0).empty());
  EXPECT_EQ(pieces_of(45, 3, buffer, 0, 0, 0, 0).at(0).len, 0u);
}

TEST(WalkTest, AHugeBufferLeavesRoomForTheRest) {
  char buffer[64], name[16];
  int length = sizeof name;
  const auto pieces = pieces_of(45, 3, buffer, ~uint64_t{0}, 0, name, &length);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_LT(pieces[0].len, kMaxCallBytes);
  EXPECT_LT(pieces[0].len, pieces[0].asked);
  EXPECT_EQ(pieces[1].len, sizeof name);
  EXPECT_EQ(pieces[2].len, sizeof length);
}

TEST(WalkTest, Messages) {
  char data[2][32], name[16], control[64];
  iovec buffers[3] = {{data[0], 32}, {nullptr, 5}, {data[1], 7}};
  msghdr message{};
  message.msg_name = name;
  message.msg_namelen = sizeof name;
  message.msg_iov = buffers;
  message.msg_iovlen = 3;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto pieces = pieces_of(47, 3, &message, 0);
  ASSERT_EQ(pieces.size(), 6u);
  EXPECT_EQ(pieces[0].len, 56u);
  EXPECT_EQ(pieces[0].dir, 3u);
  EXPECT_EQ(pieces[1].addr, reinterpret_cast<uint64_t>(name));
  EXPECT_EQ(pieces[1].parent, 0);
  EXPECT_EQ(pieces[1].slot, 0u);
  EXPECT_EQ(pieces[2].len_slot, 40u);
  EXPECT_EQ(pieces[3].len, sizeof buffers);
  EXPECT_EQ(pieces[3].dir, 1u);
  EXPECT_EQ(pieces[4].parent, 3);
  EXPECT_EQ(pieces[5].slot, 32u);
  EXPECT_EQ(pieces[5].len_slot, 40u);
  EXPECT_EQ(pieces[5].wrote, Wrote::kVector);
}

TEST(WalkTest, ControlLengths) {
  char control[64];
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = size_t{1} << 33;
  // A receiver's is used as far as it goes; a sender's is ENOBUFS before it is read.
  EXPECT_EQ(pieces_of(47, 3, &message, 0).size(), 2u);
  EXPECT_EQ(pieces_of(46, 3, &message, 0).size(), 1u);
}

TEST(WalkTest, CountsAreBounded) {
  std::vector<iovec> buffers(kMaxIov + 1, iovec{reinterpret_cast<void*>(65536), 1});
  EXPECT_EQ(pieces_of(20, 3, buffers.data(), kMaxIov).size(), kMaxIov + 1);
  EXPECT_TRUE(pieces_of(20, 3, buffers.data(), kMaxIov + 1).empty());
  EXPECT_TRUE(pieces_of(20, 3, buffers.data(), -1).empty());
  std::vector<mmsghdr> messages(kMaxIov);
  EXPECT_EQ(pieces_of(299, 3, messages.data(), 0xffffffff, 0, 0).at(0).len, kMaxIov * 64);
  EXPECT_EQ(pieces_of(7, messages.data(), -1, 0).size(), 0u);
  EXPECT_EQ(pieces_of(23, 65, messages.data(), 0, 0, 0).at(0).len, 16u);
  EXPECT_TRUE(pieces_of(23, -1, messages.data(), 0, 0, 0).empty());
}

TEST(WalkTest, TheTotalIsBounded) {
  std::vector<iovec> buffers(kMaxIov, iovec{reinterpret_cast<void*>(65536), size_t{1} << 40});
  uint64_t total = 0;
  for (const Piece& piece : pieces_of(19, 3, buffers.data(), kMaxIov)) total += piece.len;
  EXPECT_LE(total, kMaxCallBytes);
}

TEST(WalkTest, OptionsAndTheirPointers) {
  uint64_t code[3]{};
  struct {
    uint64_t count;
    const void* filter;
  } program{3, code};
  const auto pieces = pieces_of(54, 3, 1, 26, &program, 16);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].len, sizeof code);
  EXPECT_EQ(pieces[1].slot, 8u);
  // The kernel looks at 32 bits of level and option.
  EXPECT_EQ(pieces_of(54, 3, (1ull << 40) + 1, (1ull << 32) + 26, &program, 16).size(), 2u);
  struct {
    char before[84];
    uint32_t count = 2;
    const void* counters;
  } replace{};
  static_assert(sizeof replace == 96);
  replace.counters = code;
  const auto tables = pieces_of(54, 3, 0, 64, &replace, sizeof replace);
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[1].len, 32u);
  EXPECT_EQ(tables[1].dir, 2u);
  EXPECT_EQ(tables[1].slot, 88u);
}

TEST(WalkTest, StopsWhenTold) {
  std::vector<iovec> buffers(10, iovec{reinterpret_cast<void*>(65536), 1});
  const uint64_t args[6] = {3, reinterpret_cast<uint64_t>(buffers.data()), 10};
  OwnReader reader;
  Collector collector;
  collector.stop_after = 4;
  EXPECT_FALSE(walk(*find_row(20), args, reader, collector));
  EXPECT_EQ(collector.pieces.size(), 4u);
}

}  // namespace
}  // namespace mino::abi
