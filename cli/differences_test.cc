// SPDX-License-Identifier: Apache-2.0
#include "cli/differences.h"

#include <gtest/gtest.h>

#include <set>

namespace mino {
namespace {

TEST(Differences, EachHasATestAndAReason) {
  std::set<std::string> tests;
  for (const Difference& difference : known_differences()) {
    // Once for each tier or engine, which the reason names.
    EXPECT_TRUE(tests.insert(difference.test + difference.reason).second) << difference.test;
    EXPECT_FALSE(difference.test.ends_with('/'));
    EXPECT_NE(difference.reason, "") << difference.test;
  }
  EXPECT_FALSE(tests.empty());
}

}  // namespace
}  // namespace mino
