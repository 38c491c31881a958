// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that the host can use in place of an offloaded file: to map it, and to pass it on.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// What mmap of an offloaded file shall map instead: a descriptor, which the caller closes, or the
// error. `bytes` is the size that must be mapped, all at once; 0: that file itself knows.
long fetch_mapping(ThreadState* ts, u64 fd, u64& bytes);

// A parcel of the offloaded `fd`, which the caller closes, and the id of the export; or the error.
long fetch_parcel(ThreadState* ts, u64 fd, u64& id);

}  // namespace mino::hook
