// SPDX-License-Identifier: Apache-2.0
//
// Memory for the hook itself, in whole pages. The hook has no heap; this is its only allocator.
#pragma once

#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

// mmap. Where a limit of the program's own forbids it (RLIMIT_AS and the like), the soft limit is
// lifted for a moment: what a program limits is its own memory.
long map_memory(void* at, u64 bytes, u64 protection, u64 flags, u64 fd, u64 offset);

// Maps anonymous memory, zeroed and committed as it is touched. nullptr if the host kernel refuses.
inline void* map_pages(u64 bytes) {
  const long p = map_memory(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0);
  return is_error(p) ? nullptr : reinterpret_cast<void*>(p);
}
inline void unmap_pages(void* p, u64 bytes) {
  raw(__NR_munmap, ptr(p), bytes);
}

}  // namespace mino::hook
