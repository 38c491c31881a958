// SPDX-License-Identifier: Apache-2.0
//
// Paths that are the host's by their text, and whether the host's symbolic links make the device's of them.
#pragma once

#include "abi/syscalls.h"
#include "hook/calls/path_text.h"

namespace mino::hook {

// Whether the host's symbolic links make the device's of it; then `absolute` is its name there.
bool leads_to_device(ThreadState* ts, int dirfd, const char* path, bool follow_last,
                     char* absolute);

// Calls that only look, and opens: executed here, unless links lead to the device, which is known
// from the attempt. kLocal: the call is the host's, and not made yet. The result, or
// kDeviceInstead.
inline constexpr long kDeviceInstead = -0x10001;
long look_or_open(ThreadState* ts, const abi::Row& row, int dirfd, const char* path,
                  bool follow_last, char* absolute);

// After chroot and its like: other file systems may hold the prefixes.
void forget_file_systems();

}  // namespace mino::hook
