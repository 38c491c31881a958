// SPDX-License-Identifier: Apache-2.0
//
// sendfile, splice, tee, vmsplice and copy_file_range. Two offloaded files: the device does the
// copy. One of each: the checks are made here, and the bytes go by way of splice_to_device.h or
// splice_from_device.h.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_copy(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
