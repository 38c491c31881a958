// SPDX-License-Identifier: Apache-2.0
#include "engine/native/scratch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"

namespace mino {

Scratch::Scratch() : page_(static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))), owner_(::getpid()) {
  constexpr uint64_t kUsable = kTableBytes + kDataBytes;
  void* all = ::mmap(nullptr, kUsable + kGuardBytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(all != MAP_FAILED);
  CHECK(::mprotect(all, kUsable, PROT_READ | PROT_WRITE) == 0);
  // Most calls touch a page or two. A huge page per lane would mean 2 MiB cleared for nothing.
  ::madvise(all, kUsable, MADV_NOHUGEPAGE);
  ::madvise(all, kUsable + kGuardBytes, MADV_DONTFORK);
  base_ = static_cast<uint8_t*>(all);
  data_ = base_ + kTableBytes;
  guard_ = data_ + kDataBytes;
}

Scratch::~Scratch() {
  if (::getpid() == owner_) ::munmap(base_, kTableBytes + kDataBytes + kGuardBytes);
}

void Scratch::clean() {
  if (sealed_) {
    for (uint32_t i = 0; i < seal_count_; i++) {
      CHECK(::mprotect(seals_[i].start, seals_[i].bytes, PROT_READ | PROT_WRITE) == 0);
    }
  }
  sealed_ = false;
  seal_count_ = 0;
  const uint64_t keep = given_away_ ? 0 : kKeepBytes;
  given_away_ = false;
  if (used_ > keep) {
    const uint64_t end = (used_ + page_ - 1) & ~(page_ - 1);
    CHECK(::madvise(data_ + keep, end - keep, MADV_DONTNEED) == 0);
  }
}

bool Scratch::note_seal(uint8_t* start, uint64_t bytes, int protection) {
  if (bytes == 0) return true;
  if (seal_count_ == kMaxSeals) return false;
  seals_[seal_count_++] = {start, bytes, protection};
  return true;
}

uint8_t* Scratch::mirror(uint64_t addr, const uint8_t* from, uint64_t readable, uint64_t writable) {
  const uint64_t into = addr & (page_ - 1);
  const uint64_t pages = (into + readable + page_ - 1) & ~(page_ - 1);
  const uint64_t start = (used_ + page_ - 1) & ~(page_ - 1);
  if (readable > kDataBytes || start + pages + page_ > kDataBytes) return nullptr;
  uint64_t open = (into + writable + page_ - 1) & ~(page_ - 1);
  if (writable == 0) open = 0;
  if (open > pages) open = pages;
  uint8_t* const first = data_ + start;
  if (!note_seal(first + pages, page_, PROT_NONE)) return nullptr;
  if (!note_seal(first + open, pages - open, PROT_READ)) return nullptr;
  used_ = start + pages + page_;
  if (from) {
    std::memcpy(first + into, from, readable);
    // Only a client that lies ends within a page. What follows must not be left over from an
    // earlier call.
    std::memset(first + into + readable, 0, pages - into - readable);
  }
  return first + into;
}

void Scratch::apply_seals() {
  if (sealed_) return;
  sealed_ = true;
  for (uint32_t i = 0; i < seal_count_; i++) {
    CHECK(::mprotect(seals_[i].start, seals_[i].bytes, seals_[i].protection) == 0);
  }
}

}  // namespace mino
