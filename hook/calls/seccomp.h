// SPDX-License-Identifier: Apache-2.0
//
// seccomp(2) and prctl(PR_SET_SECCOMP): a program puts itself under a filter. The filter is
// installed behind a front (hook/calls/seccomp_front.h), so that the hook keeps working. Strict
// mode becomes a filter with the same list.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_seccomp(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
