// SPDX-License-Identifier: Apache-2.0
//
// /proc/self/exe of a static program that the hook has loaded (hook/start/load.cc). For the kernel,
// the executable of such a process is this library; calls with that path must get the program's own
// file. Used by paths.cc and exec.cc.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

// Whether `path` means /proc/self/exe, and the hook has loaded the program.
bool is_proc_self_exe(const char* path);

// Makes the call with the program's own path in place of /proc/self/exe; kLocal if its path is
// another. The path is argument `at`, the directory before it is argument `dir` (-1: there is
// none).
long call_with_own_path(const abi::Row& row, const Frame& f, int at, int dir);

}  // namespace mino::hook
