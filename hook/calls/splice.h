// SPDX-License-Identifier: Apache-2.0
//
// sendfile, splice, tee and copy_file_range. Two offloaded files: the device does the copy. One of
// each: the hook copies. Bytes must never be lost when the receiver takes less than was read.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_copy(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
