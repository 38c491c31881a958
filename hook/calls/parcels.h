// SPDX-License-Identifier: Apache-2.0
//
// Parcels (abi/parcel.h): the memfds that stand for open files of the device on their way between
// programs. Used by messages.cc (SCM_RIGHTS) and pidfd_getfd.cc.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

// The seals of placeholders and parcels: such a memfd is as its maker left it.
inline constexpr long kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

// Whether `fd` is a parcel; then `id` says which.
bool is_parcel(u64 fd, u64& id);
// Puts the parcel's file at number `fd`, in place of what is there: 0 or the error.
long import_parcel(ThreadState* ts, u64 fd, u64 id);
// If the program has received a parcel at number `fd`, imports its file there. It stays a parcel if
// the device does not know it. `peeked`: the message with the parcel can be received again. An
// epoll set gets its companion.
void import_if_parcel(ThreadState* ts, u64 fd, bool peeked);

}  // namespace mino::hook
