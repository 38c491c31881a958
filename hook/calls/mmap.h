// SPDX-License-Identifier: Apache-2.0
//
// mmap. An offloaded packet ring is mapped as memory that is shared with the device; a private
// mapping of an offloaded regular file is a copy. New text (dlopen) may bring system calls that are
// not patched yet. So a disarmed trap is armed again before the text is mapped; in the tier without
// a trap the text is patched as soon as it is mapped.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_mmap(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
