// SPDX-License-Identifier: Apache-2.0
//
// Paths as text: absolute, free of "." and "..", and how they lie to the offloaded prefixes. Used
// by the calls with paths (hook/calls/paths.cc) and by what follows the host's symbolic links
// (hook/calls/links.cc).
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Joins `path` to the absolute directory in `to` (or to "/") and normalises. False if too long.
bool normalise(char* to, u64& used, const char* path);

enum class Relation { kFar, kInside, kAbove };

// How `path` (absolute, normalised, "" for the root) lies to the offloaded prefixes.
Relation relation(const char* path);

// True if an absolute, normalised path is the device's; it may be changed to the device's name.
bool is_the_devices(ThreadState* ts, char* path);

// The directory that a relative path starts from; false if it has no name.
bool name_of_directory(Process* process, int dirfd, char* to, u64& used);

// Most paths, by one look at their text: an absolute one whose first part begins no prefix, and
// which does not come back to the root.
bool is_surely_far(const char* path);

bool has_dotdot(const char* path);

// The directory that a relative path starts from; false if it cannot reach a prefix.
bool start_directory(Process* process, int dirfd, const char* path, char* to, u64& used);

}  // namespace mino::hook
