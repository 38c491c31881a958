// SPDX-License-Identifier: Apache-2.0
//
// seccomp(2) and prctl(PR_SET_SECCOMP): a program puts itself under a filter.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_seccomp(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
