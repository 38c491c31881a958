// SPDX-License-Identifier: Apache-2.0
//
// An interpreter of classic BPF as seccomp filters use it: the instructions that
// seccomp_check_filter (kernel/seccomp.c) accepts, with the results of net/core/filter.c. The
// kernel has checked a filter before it gets here. Even so, the interpreter never reads outside the
// filter and always ends, whatever the filter contains. It is tested and fuzzed beside libc, so it
// includes only headers that can stand beside libc's.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "hook/base/raw.h"

namespace mino::hook {

// The filter's verdict. 0, which means kill, for a filter that the kernel would have rejected.
u32 run_bpf(const sock_filter* code, u32 count, const seccomp_data& data);

}  // namespace mino::hook
