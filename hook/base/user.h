// SPDX-License-Identifier: Apache-2.0
//
// Access to client memory, which may be bad, read-only, or unmapped at any moment. Copies are plain
// instructions; the handler of SIGSEGV and SIGBUS turns their faults into short counts
// (hook/catch/on_signal.cc), as the kernel does with its exception tables. process_vm_readv on the
// own process was rejected: it would cost 2 µs a call.
#pragma once

#include "hook/base/mem.h"
#include "hook/base/uapi.h"

extern "C" {
long mino_copy(void* to, const void* from, mino::hook::u64 bytes)
    __attribute__((visibility("hidden")));
int mino_probe(void* p) __attribute__((visibility("hidden")));
// Labels in these two, for the fault handler (hook/catch/on_signal.cc).
extern const char mino_copy_begin[] __attribute__((visibility("hidden")));
extern const char mino_copy_fault[] __attribute__((visibility("hidden")));
extern const char mino_copy_words_begin[] __attribute__((visibility("hidden")));
extern const char mino_copy_words_end[] __attribute__((visibility("hidden")));
extern const char mino_copy_small[] __attribute__((visibility("hidden")));
extern const char mino_copy_small_begin[] __attribute__((visibility("hidden")));
extern const char mino_copy_small_end[] __attribute__((visibility("hidden")));
extern const char mino_probe_begin[] __attribute__((visibility("hidden")));
extern const char mino_probe_fault[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

// Copy, and return how many of `bytes` were copied before a fault.
inline u64 user_copy_in(void* to, u64 from, u64 bytes) {
  return bytes - static_cast<u64>(mino_copy(to, reinterpret_cast<const void*>(from), bytes));
}
inline u64 user_copy_out(u64 to, const void* from, u64 bytes) {
  return bytes - static_cast<u64>(mino_copy(reinterpret_cast<void*>(to), from, bytes));
}
inline bool user_read(u64 from, void* to, u64 bytes) {
  return user_copy_in(to, from, bytes) == bytes;
}
inline bool user_write(u64 to, const void* from, u64 bytes) {
  return user_copy_out(to, from, bytes) == bytes;
}

// Copies a NUL-terminated string of at most `max` bytes, counting the NUL. Returns its length with
// the NUL, -EFAULT, or -ENAMETOOLONG.
inline i64 user_string(u64 from, char* to, u64 max) {
  u64 done = 0;
  while (done < max) {
    const u64 chunk = min(max - done, min(64, 4096 - ((from + done) & 4095)));
    const u64 got = user_copy_in(to + done, from + done, chunk);
    const u64 end = done + got;
    for (u64 i = done; i < end;) {
      u64 word = 0;
      if (end - i >= 8) __builtin_memcpy(&word, to + i, 8);
      // Skip eight bytes that hold no zero, or look at one.
      if (word && ((word - 0x0101010101010101) & ~word & 0x8080808080808080) == 0) {
        i += 8;
      } else if (to[i++] == 0) {
        return static_cast<i64>(i);
      }
    }
    if (got < chunk) return -EFAULT;
    done += chunk;
  }
  return -ENAMETOOLONG;
}

// How many of `bytes` at `at` can be written. Probes the first and the last page; the pages between
// are probed only if the last one is bad, or if `every_page` is set.
inline u64 user_writable(u64 at, u64 bytes, bool every_page = false) {
  if (bytes == 0) return 0;
  if (mino_probe(reinterpret_cast<void*>(at)) != 0) return 0;
  const u64 last = at + bytes - 1;
  if (last < at) return 0;
  if ((at & ~4095ull) == (last & ~4095ull)) return bytes;
  if (!every_page && mino_probe(reinterpret_cast<void*>(last)) == 0) return bytes;
  for (u64 page = (at & ~4095ull) + 4096; page <= last; page += 4096) {
    if (mino_probe(reinterpret_cast<void*>(page)) != 0) return page - at;
  }
  return bytes;
}

}  // namespace mino::hook
