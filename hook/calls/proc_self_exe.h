// SPDX-License-Identifier: Apache-2.0
//
// /proc/self/exe of a program that the hook has loaded (hook/start/load.cc): the kernel takes this library for it.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

bool is_own_executable(const char* path);

// The call with that path, made with the program's own; kLocal if its path is another. The path is
// argument `at`, the directory before it argument `dir` or, if that is -1, none.
long own_executable(const abi::Row& row, const Frame& f, int at, int dir);

}  // namespace mino::hook
