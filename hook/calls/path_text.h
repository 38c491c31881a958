// SPDX-License-Identifier: Apache-2.0
//
// Paths as text: makes them absolute, removes "." and "..", and compares them with the offloaded
// prefixes. Used by hook/calls/paths.cc and symlinks.cc. It looks at no file, except to find the
// directory that a relative path starts from, and does not follow links.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Appends `path` to the absolute directory in `to` ("" for the root) and normalises it. False if it
// is too long.
bool normalise(char* to, u64& used, const char* path);

// kInside: the path is a prefix or lies below one. kAbove: a prefix lies below the path.
enum class Relation { kFar, kInside, kAbove };

// How `path` (absolute, normalised, "" for the root) relates to the offloaded prefixes.
Relation relation(const char* path);

// True if an absolute, normalised path belongs on the device. It is then changed to its name there,
// if that differs (/proc).
bool is_device_path(ThreadState* ts, char* path);

// The path of the directory `dirfd`; false if it has none.
bool name_of_directory(Process* process, int dirfd, char* to, u64& used);

// A cheap test that is true for most paths: the path is absolute, its first part begins no prefix,
// and it does not come back to the root.
bool is_surely_far(const char* path);

bool has_dotdot(const char* path);

// The directory that the relative path `path` starts from; false if the path cannot reach a prefix.
bool start_directory(Process* process, int dirfd, const char* path, char* to, u64& used);

}  // namespace mino::hook
