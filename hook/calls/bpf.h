// SPDX-License-Identifier: Apache-2.0
//
// bpf(2). Used with the linux engine only: programs and maps must be in the kernel instance, where
// the sockets are that they are attached to. With the native engine the call stays on the host.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_bpf(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
