// SPDX-License-Identifier: Apache-2.0
//
// Paths as text: absolute, free of "." and "..", and how they lie to the offloaded prefixes. Used
// by the calls with paths (hook/calls/paths.cc) and by what follows the host's symbolic links
// (hook/calls/links.cc).
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

inline constexpr int kAtFdCwd = -100;

// Joins `path` to the absolute directory in `to` (or to "/") and normalises. False if too long.
bool normalise(char* to, u64& used, const char* path);

enum class Relation { kFar, kInside, kAbove };

// How `path` (absolute, normalised, "" for the root) lies to the offloaded prefixes.
Relation relation(const char* path);

// True if an absolute, normalised path is the device's; it may be changed to the device's name.
bool is_the_devices(ThreadState* ts, char* path);

// The directory that a relative path starts from; false if it has no name.
bool name_of_directory(Process* process, int dirfd, char* to, u64& used);

// links.cc: a path that is the host's by its text.

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
