// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that the host can use in place of an offloaded file: to map it
// (hook/calls/mmap.cc), or to pass it to another process (hook/calls/messages.cc).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// What to map in place of `bytes` of the offloaded `fd`: one descriptor or two, one behind the
// other. The caller closes them. `bytes` of a piece is 0 if the descriptor has the right size
// itself.
struct MapPiece {
  int file = -1;
  u64 bytes = 0;
};
long fetch_mapping(ThreadState* ts, u64 fd, u64 bytes, MapPiece pieces[2]);  // 0 or the error

// A parcel for `fd`, which the caller closes, and the id of the export; or the error. `flags`:
// abi::kForHolders or 0.
long fetch_parcel(ThreadState* ts, u64 fd, u64& id, u64 flags = 0);

}  // namespace mino::hook
