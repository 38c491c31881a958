// SPDX-License-Identifier: Apache-2.0
//
// From shared slots to private, checked copies: the only place where either side reads a ring
// slot's content. Used by the lane loop of every engine (submissions) and by hook/ (completions).
// Every shared field is loaded exactly once (relaxed; the acquire load of `turn` by the caller
// comes before), so that the peer cannot change what was checked. Freestanding: no libc, no
// exceptions.
#pragma once

#include <cstdint>

#include "abi/layout.h"

namespace mino::abi {

namespace detail {
template <class T>
T load_once(const T& shared) {
  return __atomic_load_n(&shared, __ATOMIC_RELAXED);
}
}  // namespace detail

// No range may wrap around. Whether memory is there is found out by using it.
constexpr bool range_wraps(uint64_t addr, uint64_t len) {
  return addr + len < addr;
}

constexpr bool inside_arena(uint32_t arena_off, uint32_t len, uint32_t arena_bytes) {
  return uint64_t{arena_off} + len <= arena_bytes;
}

struct CheckedSubmission {
  uint32_t nr = 0;
  int32_t install_fd = -1;
  SubmissionKind kind{};
  uint8_t flags = 0;
  Arch arch{};
  uint8_t window_count = 0;
  uint64_t args[6]{};
  Window windows[kMaxWindows];  // the first window_count are set
};

// False: the client is broken or hostile, and its session ends. `slot` may hold anything, and may
// change meanwhile.
inline bool decode_submission(const Submission& slot, uint32_t arena_bytes, CheckedSubmission& to) {
  using detail::load_once;
  to.nr = load_once(slot.nr);
  to.install_fd = load_once(slot.install_fd);
  to.flags = load_once(slot.flags);
  const uint8_t kind = load_once(slot.kind);
  const uint8_t arch = load_once(slot.arch);
  const uint8_t count = load_once(slot.window_count);
  to.window_count = 0;
  if (kind < static_cast<uint8_t>(SubmissionKind::kCall) ||
      kind > static_cast<uint8_t>(SubmissionKind::kUpcallReply)) {
    return false;
  }
  if (arch != static_cast<uint8_t>(Arch::kX86_64) && arch != static_cast<uint8_t>(Arch::kAarch64)) {
    return false;
  }
  if (count > kMaxWindows) return false;
  to.kind = static_cast<SubmissionKind>(kind);
  to.arch = static_cast<Arch>(arch);
  for (int i = 0; i < 6; i++) to.args[i] = load_once(slot.args[i]);
  for (uint8_t i = 0; i < count; i++) {
    Window window;
    window.addr = load_once(slot.windows[i].addr);
    window.len = load_once(slot.windows[i].len);
    window.place = load_once(slot.windows[i].place);
    if (window.dir() < kWindowIn || window.dir() > kWindowInOut) return false;
    if (!inside_arena(window.arena_off(), window.len, arena_bytes)) return false;
    if (range_wraps(window.addr, window.len)) return false;
    to.windows[i] = window;
  }
  to.window_count = count;
  return true;
}

struct CheckedCompletion {
  CompletionKind kind{};
  uint16_t extent_count = 0;
  int64_t result = 0;
  Extent extents[kMaxExtents];  // the first extent_count are set; an upcall has exactly one
};

// False: the device is broken or hostile. Says nothing about client addresses: those are the
// client's to judge (a probe's arena offset means nothing and is not checked).
inline bool decode_completion(const Completion& slot, uint32_t arena_bytes, CheckedCompletion& to) {
  using detail::load_once;
  const uint8_t kind = load_once(slot.kind);
  uint16_t count = load_once(slot.extent_count);
  to.result = load_once(slot.result);
  to.extent_count = 0;
  if (kind < static_cast<uint8_t>(CompletionKind::kDone) ||
      kind > static_cast<uint8_t>(CompletionKind::kUpcallProbe)) {
    return false;
  }
  to.kind = static_cast<CompletionKind>(kind);
  if (to.kind != CompletionKind::kDone) count = 1;
  if (count > kMaxExtents) return false;
  for (uint16_t i = 0; i < count; i++) {
    Extent extent;
    extent.addr = load_once(slot.extents[i].addr);
    extent.len = load_once(slot.extents[i].len);
    extent.arena_off = load_once(slot.extents[i].arena_off);
    if (to.kind != CompletionKind::kUpcallProbe &&
        !inside_arena(extent.arena_off, extent.len, arena_bytes)) {
      return false;
    }
    if (range_wraps(extent.addr, extent.len)) return false;
    to.extents[i] = extent;
  }
  to.extent_count = count;
  return true;
}

}  // namespace mino::abi
