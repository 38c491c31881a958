// SPDX-License-Identifier: Apache-2.0
//
// What the project's tests are known to do under mino and not natively. These are the lists that
// the tests are checked against (test/syscalls/differences.toml, test/selftests/differences.toml),
// built into mino. Used by `mino syscalls`. It must read no file at run time.
#pragma once

#include <string>
#include <vector>

namespace mino {

struct Difference {
  std::string test;     // program/test, or selftest/test
  std::string engines;  // "both", or the one on which it differs
  std::string reason;
};

std::vector<Difference> known_differences();

}  // namespace mino
