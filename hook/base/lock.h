// SPDX-License-Identifier: Apache-2.0
//
// A lock of one word, for threads of one process. It is short: never held across a system call that
// can block. The acquire pairs with the release in unlock().
#pragma once

#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

inline void lock(u32& word) {
  while (__atomic_exchange_n(&word, 1u, __ATOMIC_ACQUIRE)) raw(__NR_sched_yield);
}
inline void unlock(u32& word) {
  __atomic_store_n(&word, 0u, __ATOMIC_RELEASE);
}

}  // namespace mino::hook
