// SPDX-License-Identifier: Apache-2.0
//
// What --version prints has the form that the documents promise.
#include "base/version.h"

#include <gtest/gtest.h>

#include <regex>

namespace mino {
namespace {

TEST(Version, HasTheNumberOfTheProjectAndOfTheAbi) {
  const std::string text = version_text("mino", 4);
  EXPECT_TRUE(std::regex_match(text, std::regex("mino [0-9]+\\.[0-9]+\\.[0-9]+ \\(ABI 4\\)")))
      << text;
}

}  // namespace
}  // namespace mino
