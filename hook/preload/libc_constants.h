// SPDX-License-Identifier: Apache-2.0
//
// GNU libc's constants, whose headers hook/ cannot include. Used by hook/preload/ only; the
// kernel's constants are in hook/base/uapi.h.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline constexpr u64 kRtldNext = ~0ull;                 // RTLD_NEXT
inline constexpr int kCancelAsynchronous = 1;           // PTHREAD_CANCEL_ASYNCHRONOUS
inline constexpr u64 kDestructorRounds = 4;             // PTHREAD_DESTRUCTOR_ITERATIONS
inline constexpr int kUnbuffered = 2;                   // _IONBF
inline constexpr int kSigCancel = 32, kSigSetXid = 33;  // SIGCANCEL, SIGSETXID: libc's own
inline constexpr u64 kSigHold = 2;                      // SIG_HOLD

enum SpawnFlag : u32 {  // POSIX_SPAWN_…
  kResetIds = 1,
  kSetGroup = 2,
  kSetDefaults = 4,
  kSetMask = 8,
  kSetParameters = 0x10,
  kSetScheduler = 0x20,
  kSetSession = 0x80,
};

}  // namespace mino::hook
