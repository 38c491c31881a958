// SPDX-License-Identifier: Apache-2.0
//
// Every bound of the contract between host and device, in one place. Used by both sides; a peer
// that exceeds one of these is hostile or broken, and its session ends.
#pragma once

#include <cstdint>

namespace mino::abi {

inline constexpr uint32_t kVersion = 5;           // of session memory and of the control messages
inline constexpr uint32_t kRingSlots = 8;         // per ring; a power of two
inline constexpr uint32_t kMaxWindows = 60;       // windows that one request can carry
inline constexpr uint32_t kMaxExtents = 63;       // copied-out pieces that one completion can carry
inline constexpr uint32_t kMaxLanes = 2000;       // of one session; a robust list has 2,048 entries
inline constexpr uint32_t kMinArenaBytes = 4096;  // one page
inline constexpr uint32_t kMaxArenaBytes = 16u << 20;
inline constexpr uint32_t kDefaultArenaBytes = 1u << 20;
inline constexpr uint32_t kMaxFd = 1u << 20;  // fd numbers at and above this are never offloaded
inline constexpr uint32_t kMaxPath = 4096;    // PATH_MAX, with its NUL
inline constexpr uint32_t kMaxIov = 1024;     // UIO_MAXIOV
inline constexpr uint64_t kMaxCallBytes = 64u << 20;   // bytes of client memory one call may move
inline constexpr uint32_t kMaxSessions = 1024;         // per device
inline constexpr uint32_t kMaxInstanceSessions = 126;  // per kernel instance: OS_IDLE_WORDS there

// Of an arena of `arena_bytes`, windows may use all but this much: the rest serves upcalls.
constexpr uint32_t upcall_reserve(uint32_t arena_bytes) {
  return arena_bytes >= (256u << 10) ? (64u << 10) : arena_bytes / 4;
}

}  // namespace mino::abi
