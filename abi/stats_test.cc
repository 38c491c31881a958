// SPDX-License-Identifier: Apache-2.0
//
// A row of counters that C has written reads the same in C++, byte for byte as abi/stats.h says.
#include "abi/stats.h"

#include <gtest/gtest.h>

#include <cstring>

#include "abi/limits.h"
#include "abi/stats_test.h"
#include "abi/usrcall.h"

namespace {

static_assert(USRCALL_MAX_SESSIONS == mino::abi::kMaxSessions);

template <class T>
T at(const mino_stats_row& row, size_t offset) {
  T value;
  std::memcpy(&value, reinterpret_cast<const char*>(&row) + offset, sizeof value);
  return value;
}

TEST(Stats, CxxReadsWhatCWrites) {
  mino_stats_row row{};
  ASSERT_EQ(mino_stats_bytes_in_c(), sizeof row);
  mino_stats_write_in_c(&row);
  EXPECT_EQ(row.proxy_pid, -1);
  EXPECT_EQ(row.client_pid, 2);
  EXPECT_EQ(row.session_id, 3u);
  EXPECT_EQ(row.calls, 4u);
  EXPECT_EQ(row.round_trips, 5u);
  EXPECT_EQ(row.upcalls, 6u);
  EXPECT_EQ(row.bytes_in, 7u);
  EXPECT_EQ(row.bytes_out, 8u);
  EXPECT_EQ(row.lanes, 9u);
  EXPECT_STREQ(row.name, "fifteen letters");
  EXPECT_EQ(row.instance, 10u);
  EXPECT_EQ(row.uid, 11u);
}

TEST(Stats, BytesAreWhereTheTableSays) {
  mino_stats_row row{};
  mino_stats_write_in_c(&row);
  EXPECT_EQ(at<int32_t>(row, 0), -1);
  EXPECT_EQ(at<int32_t>(row, 4), 2);
  for (uint64_t i = 0; i < 6; i++) EXPECT_EQ(at<uint64_t>(row, 8 + 8 * i), 3 + i);
  EXPECT_EQ(at<uint32_t>(row, 56), 9u);
  EXPECT_STREQ(reinterpret_cast<const char*>(&row) + 60, "fifteen letters");
  EXPECT_EQ(at<uint32_t>(row, 76), 10u);
  EXPECT_EQ(at<uint32_t>(row, 80), 11u);
  for (size_t i = 84; i < 128; i += 4) EXPECT_EQ(at<uint32_t>(row, i), 0u);
}

}  // namespace
