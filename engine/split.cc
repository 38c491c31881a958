// SPDX-License-Identifier: Apache-2.0
//
// There are few windows (abi::kMaxWindows), so a scan finds the right one fast enough.
#include "engine/split.h"

#include <cerrno>
#include <cstring>

namespace mino {

namespace {

constexpr uint64_t kMaxProbe = 1u << 30;  // bytes asked about in one upcall

// How many of n bytes from addr lie before the end of all addresses, whose last byte no process
// has.
uint64_t until_the_end(uint64_t addr, uint64_t n) {
  const uint64_t room = UINT64_MAX - addr;
  return n < room ? n : room;
}

}  // namespace

Split::~Split() {
  if (bytes_in_ != 0) stats_.bytes_in.fetch_add(bytes_in_, std::memory_order_relaxed);
  if (bytes_out_ != 0) stats_.bytes_out.fetch_add(bytes_out_, std::memory_order_relaxed);
}

Split::Hit Split::find(uint64_t addr, uint64_t n, uint32_t dir) const {
  uint64_t gap = n;
  for (uint8_t i = 0; i < submission_.window_count; i++) {
    const abi::Window& window = submission_.windows[i];
    if ((window.dir() & dir) != dir) continue;
    // Wraps to something huge when addr lies before the window.
    const uint64_t into = addr - window.addr;
    if (into < window.len) {
      const uint64_t covered = window.len - into;
      return {arena_ + window.arena_off() + into, covered < n ? covered : n};
    }
    const uint64_t ahead = window.addr - addr;
    if (window.len != 0 && window.addr > addr && ahead < gap) gap = ahead;
  }
  return {nullptr, gap};
}

void Split::find_upcall_room() {
  if (room_off_ != UINT32_MAX) return;
  uint32_t end = 0;
  for (uint8_t i = 0; i < submission_.window_count; i++) {
    const abi::Window& window = submission_.windows[i];
    const uint32_t window_end = window.arena_off() + window.len;
    if (window_end > end) end = window_end;
  }
  end = end > arena_bytes_ - 7 ? arena_bytes_ : (end + 7) & ~7u;
  room_off_ = end;
  room_bytes_ = arena_bytes_ - end;
}

uint64_t Split::upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len, uint32_t arena_off) {
  stats_.upcalls.fetch_add(1, std::memory_order_relaxed);
  const int64_t served = upcaller_.upcall(kind, addr, len, arena_off);
  if (served <= 0) return 0;
  return static_cast<uint64_t>(served) < len ? static_cast<uint64_t>(served) : len;
}

// [addr, addr + n) lies outside every window that the device reads.
uint64_t Split::fetch(uint8_t* to, uint64_t addr, uint64_t n) {
  find_upcall_room();
  uint64_t done = 0;
  while (done < n && room_bytes_ != 0) {
    const uint32_t chunk = n - done < room_bytes_ ? static_cast<uint32_t>(n - done) : room_bytes_;
    const uint64_t served = upcall(abi::CompletionKind::kUpcallRead, addr + done, chunk, room_off_);
    std::memcpy(to + done, arena_ + room_off_, served);
    done += served;
    if (served < chunk) break;
  }
  return done;
}

uint64_t Split::store(uint64_t addr, const uint8_t* from, uint64_t n) {
  find_upcall_room();
  uint64_t done = 0;
  while (done < n && room_bytes_ != 0) {
    const uint32_t chunk = n - done < room_bytes_ ? static_cast<uint32_t>(n - done) : room_bytes_;
    std::memcpy(arena_ + room_off_, from + done, chunk);
    const uint64_t served =
        upcall(abi::CompletionKind::kUpcallWrite, addr + done, chunk, room_off_);
    done += served;
    if (served < chunk) break;
  }
  return done;
}

uint64_t Split::copy_in(void* to, uint64_t addr, uint64_t n) {
  n = until_the_end(addr, n);
  uint8_t* const bytes = static_cast<uint8_t*>(to);
  uint64_t done = 0;
  while (done < n) {
    const Hit hit = find(addr + done, n - done, abi::kWindowIn);
    uint64_t got = hit.bytes;
    if (hit.place) {
      std::memcpy(bytes + done, hit.place, hit.bytes);
    } else {
      got = fetch(bytes + done, addr + done, hit.bytes);
    }
    done += got;
    if (got < hit.bytes) break;
  }
  bytes_in_ += done;
  return done;
}

uint64_t Split::copy_out(uint64_t addr, const void* from, uint64_t n) {
  n = until_the_end(addr, n);
  const uint8_t* const bytes = static_cast<const uint8_t*>(from);
  uint64_t done = 0;
  while (done < n) {
    const Hit hit =
        ordered_ ? Hit{nullptr, n - done} : find(addr + done, n - done, abi::kWindowOut);
    if (hit.place) {
      std::memcpy(hit.place, bytes + done, hit.bytes);
      if (!wrote_in_place(addr + done, hit.place, hit.bytes)) break;
      done += hit.bytes;
      continue;
    }
    const uint64_t put = store(addr + done, bytes + done, hit.bytes);
    bytes_out_ += put;
    done += put;
    if (put < hit.bytes) break;
  }
  return done;
}

int64_t Split::string(uint64_t addr, char* to, uint32_t max) {
  const uint32_t most = static_cast<uint32_t>(until_the_end(addr, max));
  uint32_t done = 0;
  while (done < most) {
    const Hit hit = find(addr + done, most - done, abi::kWindowIn);
    uint32_t got = static_cast<uint32_t>(hit.bytes);
    if (hit.place) {
      std::memcpy(to + done, hit.place, got);
    } else {
      find_upcall_room();
      if (room_bytes_ == 0) return -EFAULT;
      if (got > room_bytes_) got = room_bytes_;
      const uint32_t asked = got;
      got = static_cast<uint32_t>(
          upcall(abi::CompletionKind::kUpcallString, addr + done, asked, room_off_));
      std::memcpy(to + done, arena_ + room_off_, got);
      if (got < asked && std::memchr(to + done, 0, got) == nullptr) return -EFAULT;
    }
    if (const void* end = std::memchr(to + done, 0, got)) {
      const int64_t bytes = static_cast<const char*>(end) - to + 1;
      bytes_in_ += static_cast<uint64_t>(bytes);
      return bytes;
    }
    done += got;
  }
  return most < max ? -EFAULT : -ENAMETOOLONG;
}

uint64_t Split::probe(uint64_t addr, uint64_t n) {
  n = until_the_end(addr, n);
  uint64_t done = 0;
  while (done < n) {
    const Hit hit = find(addr + done, n - done, abi::kWindowOut);
    uint64_t good = hit.bytes;  // the client makes windows only of memory that it found writable
    if (!hit.place) {
      const uint64_t chunk = hit.bytes < kMaxProbe ? hit.bytes : kMaxProbe;
      good =
          upcall(abi::CompletionKind::kUpcallProbe, addr + done, static_cast<uint32_t>(chunk), 0);
      if (good < chunk) return done + good;
    }
    done += good;
  }
  return done;
}

uint8_t* Split::in_place(uint64_t addr, uint64_t n, uint32_t dir) {
  for (uint8_t i = 0; i < submission_.window_count; i++) {
    const abi::Window& window = submission_.windows[i];
    const uint64_t into = addr - window.addr;
    if ((window.dir() & dir) != dir || into > window.len || n > window.len - into) continue;
    if (dir & abi::kWindowIn) bytes_in_ += n;
    return arena_ + window.arena_off() + into;
  }
  return nullptr;
}

bool Split::wrote_in_place(uint64_t addr, const uint8_t* place, uint64_t n) {
  if (n == 0) return true;
  const uint32_t arena_off = static_cast<uint32_t>(place - arena_);
  const uint32_t len = static_cast<uint32_t>(n);
  if (extent_count_ != 0 && !ordered_) {
    abi::Extent& last = extents_[extent_count_ - 1];
    if (last.addr + last.len == addr && last.arena_off + last.len == arena_off) {
      last.len += len;
      bytes_out_ += n;
      return true;
    }
  }
  if (ordered_ || extent_count_ == abi::kMaxExtents) {
    if (upcall(abi::CompletionKind::kUpcallWrite, addr, len, arena_off) != len) return false;
  } else {
    extents_[extent_count_++] = {addr, len, arena_off};
  }
  bytes_out_ += n;
  return true;
}

}  // namespace mino
