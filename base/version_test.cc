// SPDX-License-Identifier: Apache-2.0
//
// What --version prints has the form that the documents promise.
#include "base/version.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace mino {
namespace {

TEST(Version, HasTheNumberOfTheProjectAndOfTheAbi) {
  const std::string text = version_text("mino", 4);
  unsigned major, minor, patch;
  int end = 0;
  EXPECT_EQ(std::sscanf(text.c_str(), "mino %u.%u.%u (ABI 4)%n", &major, &minor, &patch, &end), 3)
      << text;
  EXPECT_EQ(static_cast<size_t>(end), text.size()) << text;
}

}  // namespace
}  // namespace mino
