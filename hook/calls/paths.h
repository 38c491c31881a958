// SPDX-License-Identifier: Apache-2.0
//
// Calls with paths, which run on the device if the path lies under an offloaded prefix. The text of
// the path decides first (hook/calls/path_text.h), then where symbolic links on the host lead
// (hook/calls/symlinks.h). The device is sent the absolute path.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_path(ThreadState* ts, const abi::Row& row);
long do_path_two(ThreadState* ts, const abi::Row& row);
long do_cwd(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
