// SPDX-License-Identifier: Apache-2.0
//
// Memory for the tests of this directory: patterns that show a byte out of place, pages with an
// inaccessible neighbour, and pointers that no call may ever follow.
#pragma once

#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <vector>

#include "check.h"

// Byte i of an endless stream. The period is prime, so that a lost or repeated page shows.
inline unsigned char pattern_at(size_t i, unsigned seed = 0) {
  return static_cast<unsigned char>((i * 131 + i / 251 + seed) % 251);
}

inline std::vector<unsigned char> pattern(size_t size, unsigned seed = 0) {
  std::vector<unsigned char> bytes(size);
  for (size_t i = 0; i < size; i++) bytes[i] = pattern_at(i, seed);
  return bytes;
}

inline bool is_pattern(const void* data, size_t size, size_t from = 0, unsigned seed = 0) {
  auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != pattern_at(from + i, seed)) return false;
  }
  return true;
}

// FNV-1a: enough to tell that a stream arrived whole and in order.
inline uint64_t checksum(const void* data, size_t size, uint64_t sum = 0xcbf29ce484222325) {
  auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * 0x100000001b3;
  return sum;
}

inline iovec piece(const void* data, size_t size) {
  return {const_cast<void*>(data), size};
}

inline constexpr size_t kPage = 4096;

// `pages` usable pages, then one that nobody may touch. end() is where the usable part ends.
class Guarded {
 public:
  explicit Guarded(size_t pages = 1) : usable_(pages * kPage) {
    void* map =
        mmap(nullptr, usable_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(static_cast<char*>(map) + usable_, kPage, PROT_NONE) != 0) {
      check::fail("memory.h", __LINE__, "mmap", check::error_name(errno));
      _exit(1);
    }
    start_ = static_cast<char*>(map);
  }
  ~Guarded() { munmap(start_, usable_ + kPage); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  char* start() const { return start_; }
  char* end() const { return start_ + usable_; }
  size_t size() const { return usable_; }
  // The last `size` usable bytes.
  char* tail(size_t size) const { return end() - size; }

 private:
  char* start_;
  size_t usable_;
};

// Bad in four ways: next to NULL, inaccessible, not canonical, in kernel memory.
inline std::vector<void*> bad_pointers() {
  static Guarded page;
  std::vector<void*> bad;
  for (uintptr_t address : {uintptr_t{16}, reinterpret_cast<uintptr_t>(page.end()),
                            uintptr_t{0x8000000000000000}, uintptr_t{0xffff800000001000}}) {
    bad.push_back(reinterpret_cast<void*>(address));
  }
  return bad;
}

// Beyond what a process can ever own: Linux refuses such a pointer before it looks at anything
// else, even for a length of zero.
inline bool is_outside(const void* pointer) {
  return static_cast<intptr_t>(reinterpret_cast<uintptr_t>(pointer)) < 0;
}
