// SPDX-License-Identifier: Apache-2.0
//
// Functions that GCC calls of its own accord, for copies of structures: nothing here links libc.
#include "hook/base/mem.h"

extern "C" {  // GCC may call these for structure copies; nothing here links against libc.
__attribute__((visibility("hidden"))) void* memcpy(void* to, const void* from, size_t n) {
  mino::hook::copy(to, from, n);
  return to;
}
__attribute__((visibility("hidden"))) void* memset(void* to, int value, size_t n) {
  mino::hook::fill(to, static_cast<mino::hook::u8>(value), n);
  return to;
}
}
