// SPDX-License-Identifier: Apache-2.0
//
// The address range of this library. A program may hold two copies of it (hook/start/home.h); each
// copy sees its own range. Used wherever the hook has to tell its own text from the program's.
#pragma once

#include "hook/base/raw.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));  // defined by the linker
extern const char etext[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

inline u64 base() {
  return ptr(__ehdr_start);
}
inline u64 end_of_text() {
  return ptr(etext);
}

}  // namespace mino::hook
