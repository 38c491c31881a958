// SPDX-License-Identifier: Apache-2.0
//
// mmap. An offloaded packet ring is mapped as memory that is shared with the device; a private
// mapping of an offloaded regular file is a copy. New text (dlopen) may bring system calls that are
// not patched yet: the trap is armed before it comes, or, without a trap, it is patched at once.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_mmap(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
