// SPDX-License-Identifier: Apache-2.0
//
// Symbolic links on the host that lead to the device. Used by hook/calls/paths.cc for paths whose
// text lies outside the offloaded prefixes. Nothing here may have an effect on the host before it
// is known that the path stays there.
#pragma once

#include "abi/syscalls.h"
#include "hook/calls/path_text.h"

namespace mino::hook {

// Whether symbolic links on the host lead from `path` to the device; then `absolute` is the path
// there.
bool leads_to_device(ThreadState* ts, int dirfd, const char* path, bool follow_last,
                     char* absolute);

// The call belongs on the device.
inline constexpr long kDeviceInstead = -0x10001;

// Makes a call that opens a file or only reads from a path (stat, readlink), unless links lead to
// the device; the attempt tells. Returns the result, kDeviceInstead with `absolute`, or kLocal: the
// call belongs on the host and was not made.
long try_on_host(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                 bool follow_last, char* absolute);

// After chroot, unshare and setns: the prefixes may lie on other file systems.
void forget_file_systems();

}  // namespace mino::hook
