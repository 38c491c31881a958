// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that the host can use in place of an offloaded file: to map it
// (hook/calls/mmap.cc), or to pass it to another process (hook/calls/messages.cc).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// A descriptor to map in place of the offloaded `fd`, which the caller closes; or the error.
// `bytes` is the size that must be mapped, all at once; 0 if the descriptor has the right size
// itself.
long fetch_mapping(ThreadState* ts, u64 fd, u64& bytes);

// A parcel for `fd`, which the caller closes, and the id of the export; or the error. `flags`:
// abi::kForHolders or 0.
long fetch_parcel(ThreadState* ts, u64 fd, u64& id, u64 flags = 0);

}  // namespace mino::hook
