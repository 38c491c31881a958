// SPDX-License-Identifier: Apache-2.0
//
// See hook/base/pages.h.
#include "hook/base/pages.h"

#include "hook/base/limits.h"

namespace mino::hook {

long map_memory(void* at, u64 bytes, u64 protection, u64 flags, u64 fd, u64 offset) {
  const auto map = [&] { return raw(__NR_mmap, ptr(at), bytes, protection, flags, fd, offset); };
  const long result = map();
  if (result != -ENOMEM && result != -EAGAIN) return result;
  const LiftedLimits lifted(LiftedLimits::kMemory);
  return map();
}

}  // namespace mino::hook
