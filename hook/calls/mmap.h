// SPDX-License-Identifier: Apache-2.0
//
// mmap, of offloaded files and of code that is to be patched as it comes (dlopen).
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_map(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
