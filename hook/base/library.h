// SPDX-License-Identifier: Apache-2.0
//
// Where this library lies in memory: of the two copies that a program may have (hook/start/home.h), the one
// that asks.
#pragma once

#include "hook/base/raw.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));  // the linker's
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
