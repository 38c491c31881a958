// SPDX-License-Identifier: Apache-2.0
//
// For uapi_test.cc only: the constants that hook/base/uapi.h defines itself, as a file sees them that includes
// nothing else. The kernel's headers and libc's cannot be included together.
#pragma once

#include <span>

namespace mino::hook {

struct NamedValue {
  const char* name;
  long long value;
};
inline constexpr long long kAbsent = -0x7fffffffffffffff;

std::span<const NamedValue> uapi_values();

}  // namespace mino::hook
