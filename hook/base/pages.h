// SPDX-License-Identifier: Apache-2.0
//
// Memory of the hook's own, by pages: it has no heap.
#pragma once

#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

// mmap of anonymous memory, zeroed, lazily committed; nullptr when the host has none.
inline void* map_pages(u64 bytes) {
  const long p = raw(__NR_mmap, 0, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0);
  return is_error(p) ? nullptr : reinterpret_cast<void*>(p);
}
inline void unmap_pages(void* p, u64 bytes) {
  raw(__NR_munmap, ptr(p), bytes);
}

}  // namespace mino::hook
