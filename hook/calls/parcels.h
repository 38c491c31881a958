// SPDX-License-Identifier: Apache-2.0
//
// Open files of the device on their way between programs: what stands for them here (abi/parcel.h).
// Used by messages.cc (SCM_RIGHTS) and fetching.cc (pidfd_getfd).
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

// What is sealed so is as its maker left it: placeholders and parcels are.
inline constexpr long kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// Whether `fd` is a parcel, and which.
bool is_parcel(u64 fd, u64& id);
// The parcel's file takes the place of what is at number `fd`: 0 or the error.
long import_parcel(ThreadState* ts, u64 fd, u64 id);
// The same for a parcel at that number; it stays one if the device does not know it.
void unpack(ThreadState* ts, u64 fd, bool peeked);

}  // namespace mino::hook
