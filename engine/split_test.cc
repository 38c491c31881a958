// SPDX-License-Identifier: Apache-2.0
//
// The split, over a client that is a string: windows, upcalls, chunks, and answers that lie.
#include "engine/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace mino {
namespace {

constexpr uint64_t kBase = 0x10000;  // where the client's memory begins

class Client final : public Upcaller {
 public:
  explicit Client(std::vector<uint8_t>& arena) : arena_(arena) {}

  int64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len,
                 uint32_t arena_off) override {
    calls++;
    largest = std::max(largest, len);
    if (answer != 0) return answer;
    if (addr < kBase || addr >= kBase + memory.size()) return -EFAULT;
    const uint64_t at = addr - kBase;
    const uint64_t n = std::min<uint64_t>(len, memory.size() - at);
    if (kind != abi::CompletionKind::kUpcallProbe) {
      // What is written may lie in a window. What is read must never land in one.
      EXPECT_TRUE(arena_off >= lowest_room || kind == abi::CompletionKind::kUpcallWrite);
      EXPECT_LE(uint64_t{arena_off} + len, arena_.size());
    }
    switch (kind) {
      case abi::CompletionKind::kUpcallRead:
        std::memcpy(&arena_[arena_off], &memory[at], n);
        return static_cast<int64_t>(n);
      case abi::CompletionKind::kUpcallWrite:
        std::memcpy(&memory[at], &arena_[arena_off], n);
        return static_cast<int64_t>(n);
      case abi::CompletionKind::kUpcallString: {
        const void* end = std::memchr(&memory[at], 0, n);
        const uint64_t bytes =
            end ? static_cast<uint64_t>(static_cast<const char*>(end) - &memory[at]) + 1 : n;
        std::memcpy(&arena_[arena_off], &memory[at], bytes);
        return !end && n < len ? -EFAULT : static_cast<int64_t>(bytes);
      }
      default:
        return static_cast<int64_t>(n);
    }
  }

  std::string memory = std::string(20000, 'm');
  uint64_t lowest_room = 0;
  int64_t answer = 0;
  int calls = 0;
  uint32_t largest = 0;

 private:
  std::vector<uint8_t>& arena_;
};

class SplitTest : public testing::Test {
 protected:
  explicit SplitTest(uint32_t arena_bytes = 4096) : arena_(arena_bytes), client_(arena_) {
    for (size_t i = 0; i < client_.memory.size(); i++) {
      client_.memory[i] = static_cast<char>(i % 251 + 1);
    }
  }
  // Makes a window; if it is read, it holds the client's bytes.
  void window(uint64_t addr, uint32_t len, uint32_t arena_off, uint32_t dir) {
    checked_->windows[checked_->window_count++] = {addr, len, arena_off | dir};
    if (dir & abi::kWindowIn) std::memcpy(&arena_[arena_off], &client_.memory[addr - kBase], len);
    client_.lowest_room = std::max<uint64_t>(client_.lowest_room, arena_off + len);
  }
  Split& split() {
    if (!split_) {
      const auto bytes = static_cast<uint32_t>(arena_.size());
      split_ = std::make_unique<Split>(*checked_, arena_.data(), bytes, client_, stats_);
    }
    return *split_;
  }
  // Does what the client does with the completion.
  void apply() {
    for (uint16_t i = 0; i < split().extent_count(); i++) {
      const abi::Extent& extent = split().extents()[i];
      std::memcpy(&client_.memory[extent.addr - kBase], &arena_[extent.arena_off], extent.len);
    }
  }

  std::vector<uint8_t> arena_;
  Client client_;
  SessionStats stats_{};
  std::unique_ptr<abi::CheckedSubmission> checked_ = std::make_unique<abi::CheckedSubmission>();
  std::unique_ptr<Split> split_;
};

TEST_F(SplitTest, ReadsWindowsWithoutUpcalls) {
  window(kBase + 100, 50, 0, abi::kWindowIn);
  char to[50];
  EXPECT_EQ(split().copy_in(to, kBase + 110, 40), 40u);
  EXPECT_EQ(std::memcmp(to, &client_.memory[110], 40), 0);
  EXPECT_EQ(client_.calls, 0);
}

TEST_F(SplitTest, ReadsAcrossWindowsAndGaps) {
  window(kBase + 100, 50, 0, abi::kWindowIn);
  window(kBase + 200, 50, 56, abi::kWindowInOut);
  window(kBase + 160, 10, 112, abi::kWindowOut);  // says nothing about what is there
  std::vector<char> to(400);
  EXPECT_EQ(split().copy_in(to.data(), kBase + 50, 300), 300u);
  EXPECT_EQ(std::memcmp(to.data(), &client_.memory[50], 300), 0);
  EXPECT_EQ(client_.calls, 3);
  split_.reset();
  EXPECT_EQ(stats_.upcalls.load(), 3u);
  EXPECT_EQ(stats_.bytes_in.load(), 300u);
}

TEST_F(SplitTest, BigTransfersComeInChunks) {
  window(kBase, 2048, 0, abi::kWindowIn);
  std::vector<char> to(20000);
  EXPECT_EQ(split().copy_in(to.data(), kBase, 20000), 20000u);
  EXPECT_EQ(std::memcmp(to.data(), client_.memory.data(), 20000), 0);
  EXPECT_EQ(client_.largest, 2048u);
  const std::string text(20000, 'x');
  EXPECT_EQ(split().copy_out(kBase, text.data(), 20000), 20000u);
  EXPECT_EQ(client_.memory, text);
}

TEST_F(SplitTest, StopsWhereMemoryEnds) {
  std::vector<char> to(30000);
  EXPECT_EQ(split().copy_in(to.data(), kBase + 19990, 5000), 10u);
  EXPECT_EQ(split().copy_in(to.data(), 5, 10), 0u);
  EXPECT_EQ(split().copy_in(to.data(), ~uint64_t{0} - 3, 100), 0u);
  EXPECT_EQ(split().copy_out(kBase + 19990, to.data(), 5000), 10u);
  EXPECT_EQ(split().probe(kBase + 19000, 5000), 1000u);
  EXPECT_EQ(split().probe(3, 5000), 0u);
}

TEST_F(SplitTest, WritesIntoWindowsAndMergesExtents) {
  window(kBase + 100, 50, 0, abi::kWindowOut);
  const std::string before = client_.memory;
  EXPECT_EQ(split().copy_out(kBase + 100, "abc", 3), 3u);
  EXPECT_EQ(split().copy_out(kBase + 103, "def", 3), 3u);
  EXPECT_EQ(split().copy_out(kBase + 140, "xyz", 3), 3u);
  EXPECT_EQ(split().extent_count(), 2);
  EXPECT_EQ(client_.calls, 0);
  EXPECT_EQ(client_.memory, before);
  apply();
  EXPECT_EQ(client_.memory.substr(100, 6), "abcdef");
  EXPECT_EQ(client_.memory.substr(140, 3), "xyz");
}

TEST_F(SplitTest, ExtentsRunOut) {
  window(kBase, 1000, 0, abi::kWindowOut);
  for (uint64_t i = 0; i < 100; i++) EXPECT_EQ(split().copy_out(kBase + i * 10, "abc", 3), 3u);
  EXPECT_EQ(split().extent_count(), abi::kMaxExtents);
  EXPECT_EQ(client_.calls, 100 - static_cast<int>(abi::kMaxExtents));
  apply();
  for (uint64_t i = 0; i < 100; i++) EXPECT_EQ(client_.memory.substr(i * 10, 3), "abc");
}

TEST_F(SplitTest, InPlaceNeedsOneWindow) {
  window(kBase + 100, 50, 0, abi::kWindowOut);
  window(kBase + 150, 50, 56, abi::kWindowIn);
  EXPECT_EQ(split().in_place(kBase + 110, 40, abi::kWindowOut), &arena_[10]);
  EXPECT_EQ(split().in_place(kBase + 110, 41, abi::kWindowOut), nullptr);
  EXPECT_EQ(split().in_place(kBase + 99, 2, abi::kWindowOut), nullptr);
  EXPECT_EQ(split().in_place(kBase + 110, 4, abi::kWindowIn), nullptr);
  EXPECT_EQ(split().in_place(kBase + 160, 4, abi::kWindowIn), &arena_[66]);
  EXPECT_EQ(split().in_place(kBase + 110, ~uint64_t{0}, abi::kWindowOut), nullptr);
  EXPECT_TRUE(split().wrote_in_place(kBase + 110, &arena_[10], 5));
  ASSERT_EQ(split().extent_count(), 1);
  EXPECT_EQ(split().extents()[0].arena_off, 10u);
}

TEST_F(SplitTest, Strings) {
  client_.memory.replace(5000, 6, std::string("hello\0", 6));
  client_.memory.replace(0, 4000, std::string(4000, 's'));
  char to[4096];
  EXPECT_EQ(split().string(kBase + 5000, to, 4096), 6);
  EXPECT_STREQ(to, "hello");
  EXPECT_EQ(split().string(kBase, to, 100), -ENAMETOOLONG);
  EXPECT_EQ(split().string(kBase + 19000, to, 4096), -EFAULT);
  EXPECT_EQ(split().string(7, to, 4096), -EFAULT);
  EXPECT_EQ(split().string(~uint64_t{0}, to, 4096), -EFAULT);
}

TEST_F(SplitTest, StringsThatLeaveTheirWindow) {
  client_.memory.replace(1000, 3000, std::string(3000, 's'));
  client_.memory[4000] = 0;
  window(kBase + 1000, 100, 0, abi::kWindowIn);
  char to[4096];
  EXPECT_EQ(split().string(kBase + 1000, to, 4096), 3001);
  EXPECT_EQ(std::strlen(to), 3000u);
  EXPECT_EQ(client_.calls, 1);
}

TEST_F(SplitTest, WindowsThatLeaveNoRoom) {
  window(kBase, 4096, 0, abi::kWindowOut);
  char to[10];
  EXPECT_EQ(split().copy_in(to, kBase + 5000, 10), 0u);
  EXPECT_EQ(split().string(kBase + 5000, to, 10), -EFAULT);
  EXPECT_EQ(split().probe(kBase + 5000, 10), 10u);
  EXPECT_EQ(split().copy_out(kBase + 4090, "0123456789", 10), 6u);
}

TEST_F(SplitTest, AnswersThatLie) {
  char to[100];
  for (const int64_t answer : {int64_t{-1}, int64_t{-4096}, INT64_MIN}) {
    client_.answer = answer;
    EXPECT_EQ(split().copy_in(to, kBase, 100), 0u);
    EXPECT_EQ(split().copy_out(kBase, to, 100), 0u);
    EXPECT_EQ(split().probe(kBase, 100), 0u);
    EXPECT_EQ(split().string(kBase, to, 100), -EFAULT);
  }
  for (const int64_t answer : {int64_t{101}, int64_t{1} << 32, INT64_MAX}) {
    client_.answer = answer;
    EXPECT_EQ(split().copy_in(to, kBase, 100), 100u);
    EXPECT_EQ(split().copy_out(kBase, to, 100), 100u);
    EXPECT_EQ(split().probe(kBase, 100), 100u);
  }
}

TEST_F(SplitTest, OverlappingOutputKeepsItsOrder) {
  window(kBase + 100, 50, 0, abi::kWindowOut);
  split().keep_order();
  std::memcpy(&arena_[0], "first", 5);
  EXPECT_TRUE(split().wrote_in_place(kBase + 100, &arena_[0], 5));
  EXPECT_EQ(split().copy_out(kBase + 102, "second", 6), 6u);
  EXPECT_EQ(split().extent_count(), 0);
  EXPECT_EQ(client_.memory.substr(100, 8), "fisecond");
}

}  // namespace
}  // namespace mino
