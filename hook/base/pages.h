// SPDX-License-Identifier: Apache-2.0
//
// Memory for the hook itself, in whole pages. The hook has no heap; this is its only allocator.
#pragma once

#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

// Maps anonymous memory, zeroed and committed as it is touched. nullptr if the host kernel refuses.
inline void* map_pages(u64 bytes) {
  const long p = raw(__NR_mmap, 0, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0);
  return is_error(p) ? nullptr : reinterpret_cast<void*>(p);
}
inline void unmap_pages(void* p, u64 bytes) {
  raw(__NR_munmap, ptr(p), bytes);
}

}  // namespace mino::hook
