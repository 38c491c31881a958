// SPDX-License-Identifier: Apache-2.0
//
// See hook/base/pages.h.
#include "hook/base/pages.h"

namespace mino::hook {

namespace {

constexpr u64 kLimits[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK};
constexpr int kCount = 3;

u32 limit_lock;  // two threads that lift limits at once would not restore them

void set_limit(u64 resource, const u64* value, u64* old) {
  raw(__NR_prlimit64, 0, resource, ptr(value), ptr(old));
}

}  // namespace

long map_memory(void* at, u64 bytes, u64 protection, u64 flags, u64 fd, u64 offset) {
  const auto map = [&] { return raw(__NR_mmap, ptr(at), bytes, protection, flags, fd, offset); };
  long result = map();
  if (result != -ENOMEM && result != -EAGAIN) return result;
  while (__atomic_exchange_n(&limit_lock, 1u, __ATOMIC_ACQUIRE)) raw(__NR_sched_yield);
  u64 limits[kCount][2];  // soft, hard
  bool lifted = false;
  for (int i = 0; i < kCount; i++) {
    set_limit(kLimits[i], nullptr, limits[i]);
    const u64 most[2] = {limits[i][1], limits[i][1]};
    lifted |= limits[i][0] != limits[i][1];
    if (limits[i][0] != limits[i][1]) set_limit(kLimits[i], most, nullptr);
  }
  if (lifted) result = map();
  for (int i = 0; i < kCount; i++) {
    if (limits[i][0] != limits[i][1]) set_limit(kLimits[i], limits[i], nullptr);
  }
  __atomic_store_n(&limit_lock, 0u, __ATOMIC_RELEASE);
  return result;
}

void reset_limit_lock() {
  limit_lock = 0;
}

}  // namespace mino::hook
