// SPDX-License-Identifier: Apache-2.0
//
// Classic BPF as seccomp filters have it: what kernel/seccomp.c:seccomp_check_filter lets through,
// with the results of net/core/filter.c. The kernel has checked a filter before it gets here;
// nothing is read outside it all the same, whatever it contains, and it always ends.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "hook/base/raw.h"

namespace mino::hook {

// What the filter answers. 0, which kills, for one that the kernel would not have taken.
u32 run_bpf(const sock_filter* code, u32 count, const seccomp_data& data);

}  // namespace mino::hook
