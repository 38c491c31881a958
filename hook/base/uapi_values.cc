// SPDX-License-Identifier: Apache-2.0
//
// What hook/base/uapi.h defines, as a table. See hook/base/uapi_values.h.
#include "hook/base/uapi_values.h"

#include "hook/base/uapi.h"

namespace mino::hook {

std::span<const NamedValue> uapi_values() {
  static constexpr NamedValue kValues[] = {
#include "hook/uapi_names.inc"  // generated from hook/base/uapi.h
  };
  return kValues;
}

}  // namespace mino::hook
