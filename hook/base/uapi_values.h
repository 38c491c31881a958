// SPDX-License-Identifier: Apache-2.0
//
// The constants that hook/base/uapi.h defines itself, for uapi_test.cc only. A file that includes
// libc's headers cannot include the kernel's as well, so this table crosses between the two.
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
