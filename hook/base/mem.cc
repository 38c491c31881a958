// SPDX-License-Identifier: Apache-2.0
//
// memcpy and memset, which GCC may call for copies of structures even with -ffreestanding. The hook
// links no libc, so it brings its own. Nothing in the hook calls them by name.
#include "hook/base/mem.h"

extern "C" {
__attribute__((visibility("hidden"))) void* memcpy(void* to, const void* from, size_t n) {
  mino::hook::copy(to, from, n);
  return to;
}
__attribute__((visibility("hidden"))) void* memset(void* to, int value, size_t n) {
  mino::hook::fill(to, static_cast<mino::hook::u8>(value), n);
  return to;
}
}
