// SPDX-License-Identifier: Apache-2.0
//
// unshare and setns where they concern the network namespace: that is the device's with the linux
// engine. Used by hook/calls/guard.cc. Other namespaces stay on the host.
#pragma once

#include "abi/syscalls.h"
#include "hook/state/thread.h"

namespace mino::hook {

// All at once where one kernel does it all: what fails has changed nothing.
long do_unshare(ThreadState* ts, const abi::Row& row);

// On the host. If that has led into another user namespace, the device is told.
long setns_on_host(ThreadState* ts, u64 fd, u64 flags);

// kLocal if the call has no part on the device.
long do_setns(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
