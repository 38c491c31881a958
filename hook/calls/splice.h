// SPDX-License-Identifier: Apache-2.0
//
// sendfile, splice, tee and copy_file_range, within the device and across.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_copy(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
