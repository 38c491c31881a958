// SPDX-License-Identifier: Apache-2.0
//
// bpf(2): an instance's, where the device's kernel is not the program's own.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_bpf(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
