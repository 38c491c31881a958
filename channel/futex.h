// SPDX-License-Identifier: Apache-2.0
//
// FUTEX_WAIT and FUTEX_WAKE on words that two processes share. Used by channel/ and engine/native/.
// Never the _PRIVATE forms: they would not find a waiter in the other process.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace mino {

// Returns when woken, when the word differs from `expected`, on a signal or after `timeout`.
// Callers look at the word again.
inline void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected,
                       const timespec* timeout = nullptr) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, timeout, nullptr, 0);
}

inline void futex_wake(const std::atomic<uint32_t>& word, int waiters = INT_MAX) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, waiters, nullptr, nullptr, 0);
}

}  // namespace mino
