// SPDX-License-Identifier: Apache-2.0
//
// Ring slots that are good, and slots as a hostile peer may write them.
#include "abi/decode.h"

#include <gtest/gtest.h>

#include <memory>

namespace mino::abi {
namespace {

constexpr uint32_t kArena = 64 << 10;

class DecodeTest : public testing::Test {
 protected:
  DecodeTest() {
    submission_->kind = static_cast<uint8_t>(SubmissionKind::kCall);
    submission_->arch = static_cast<uint8_t>(Arch::kX86_64);
    completion_->kind = static_cast<uint8_t>(CompletionKind::kDone);
  }
  bool submission() { return decode_submission(*submission_, kArena, *checked_); }
  bool completion() { return decode_completion(*completion_, kArena, *done_); }
  bool window(uint64_t addr, uint32_t len, uint32_t place) {
    submission_->window_count = 1;
    submission_->windows[0] = {addr, len, place};
    return submission();
  }
  bool extent(CompletionKind kind, uint64_t addr, uint32_t len, uint32_t arena_off) {
    completion_->kind = static_cast<uint8_t>(kind);
    completion_->extent_count = 1;
    completion_->extents[0] = {addr, len, arena_off};
    return completion();
  }

  std::unique_ptr<Submission> submission_ = std::make_unique<Submission>();
  std::unique_ptr<Completion> completion_ = std::make_unique<Completion>();
  std::unique_ptr<CheckedSubmission> checked_ = std::make_unique<CheckedSubmission>();
  std::unique_ptr<CheckedCompletion> done_ = std::make_unique<CheckedCompletion>();
};

TEST_F(DecodeTest, CopiesEverything) {
  submission_->nr = 45;
  submission_->install_fd = 7;
  submission_->flags = kFlagBell;
  for (uint64_t i = 0; i < 6; i++) submission_->args[i] = i + 10;
  submission_->window_count = 2;
  submission_->windows[0] = {4096, 100, 0 | kWindowIn};
  submission_->windows[1] = {8192, 50, 104 | kWindowInOut};
  ASSERT_TRUE(submission());
  EXPECT_EQ(checked_->nr, 45u);
  EXPECT_EQ(checked_->install_fd, 7);
  EXPECT_EQ(checked_->kind, SubmissionKind::kCall);
  EXPECT_EQ(checked_->flags, kFlagBell);
  EXPECT_EQ(checked_->args[5], 15u);
  ASSERT_EQ(checked_->window_count, 2);
  EXPECT_EQ(checked_->windows[1].arena_off(), 104u);
  EXPECT_EQ(checked_->windows[1].dir(), kWindowInOut);
}

TEST_F(DecodeTest, WindowsStayInsideTheArena) {
  EXPECT_TRUE(window(4096, kArena, 0 | kWindowIn));
  EXPECT_TRUE(window(4096, 0, kArena | kWindowOut));
  EXPECT_FALSE(window(4096, kArena + 1, 0 | kWindowIn));
  EXPECT_FALSE(window(4096, 1, kArena | kWindowIn));
  EXPECT_FALSE(window(4096, 9, (kArena - 8) | kWindowIn));
  EXPECT_FALSE(window(4096, ~0u, 8 | kWindowIn));
  EXPECT_FALSE(window(4096, 16, 0xfffffff8 | kWindowIn));
}

TEST_F(DecodeTest, WindowsHaveADirectionAndDoNotWrap) {
  EXPECT_FALSE(window(4096, 8, 0));
  for (uint32_t dir = 4; dir < 8; dir++) EXPECT_FALSE(window(4096, 8, dir));
  EXPECT_TRUE(window(~uint64_t{0} - 8, 8, 0 | kWindowIn));
  EXPECT_FALSE(window(~uint64_t{0} - 8, 10, 0 | kWindowIn));
}

TEST_F(DecodeTest, KindsAndCounts) {
  for (const int kind : {0, 4, 255}) {
    submission_->kind = static_cast<uint8_t>(kind);
    EXPECT_FALSE(submission()) << kind;
  }
  submission_->kind = static_cast<uint8_t>(SubmissionKind::kUpcallReply);
  EXPECT_TRUE(submission());
  submission_->window_count = kMaxWindows + 1;
  EXPECT_FALSE(submission());
  submission_->window_count = 0;
  submission_->arch = 3;
  EXPECT_FALSE(submission());
}

TEST_F(DecodeTest, CompletionsStayInsideTheArena) {
  EXPECT_TRUE(extent(CompletionKind::kDone, 4096, kArena, 0));
  EXPECT_FALSE(extent(CompletionKind::kDone, 4096, kArena, 1));
  EXPECT_FALSE(extent(CompletionKind::kUpcallRead, 4096, 2, kArena - 1));
  EXPECT_FALSE(extent(CompletionKind::kUpcallWrite, 4096, ~0u, 8));
  EXPECT_FALSE(extent(CompletionKind::kUpcallString, 4096, 8, ~0u));
  // A probe moves nothing, and may ask about more than an arena.
  EXPECT_TRUE(extent(CompletionKind::kUpcallProbe, 4096, 1u << 30, ~0u));
  EXPECT_FALSE(extent(CompletionKind::kUpcallProbe, ~uint64_t{0} - 5, 10, 0));
}

TEST_F(DecodeTest, CompletionKindsAndCounts) {
  completion_->extent_count = kMaxExtents;
  EXPECT_TRUE(completion());
  EXPECT_EQ(done_->extent_count, kMaxExtents);
  completion_->extent_count = kMaxExtents + 1;
  EXPECT_FALSE(completion());
  // An upcall is about its first extent, whatever the count says.
  completion_->kind = static_cast<uint8_t>(CompletionKind::kUpcallRead);
  EXPECT_TRUE(completion());
  EXPECT_EQ(done_->extent_count, 1);
  for (const int kind : {0, 6, 255}) {
    completion_->kind = static_cast<uint8_t>(kind);
    EXPECT_FALSE(completion()) << kind;
  }
}

}  // namespace
}  // namespace mino::abi
