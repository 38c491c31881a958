// SPDX-License-Identifier: Apache-2.0
//
// Calls that stay on the host, but that the hook must know of because they change what it relies
// on: prctl, arch_prctl, munmap, ptrace, kill, setrlimit, chroot, unshare, setns. A few are
// refused, such as arming Syscall User Dispatch for the program; a few that concern the network
// namespace go to the device.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_guard(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
