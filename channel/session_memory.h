// SPDX-License-Identifier: Apache-2.0
//
// The device's side of one session's memory (abi/layout.h): a memory object whose size is sealed,
// so that neither side can make the other fault by shrinking it. Used by engine/native/ and tests.
// Never inherited by a forked proxy: a child serves memory of its own.
#pragma once

#include <cstdint>

#include "abi/layout.h"
#include "base/error.h"
#include "base/fd.h"

namespace mino {

class SessionMemory {
 public:
  // `lanes` and `arena_bytes` were checked against abi/limits.h; the arena is a multiple of the
  // page size.
  static Result<SessionMemory> create(uint64_t session_id, uint32_t lanes, uint32_t arena_bytes);

  // Maps an object that create() made in another process of the device.
  static Result<SessionMemory> map(Fd object, uint64_t session_id, uint32_t lanes,
                                   uint32_t arena_bytes);

  SessionMemory() = default;
  SessionMemory(SessionMemory&& other) noexcept;
  SessionMemory& operator=(SessionMemory&& other) noexcept;
  ~SessionMemory();

  // The process was forked, and the mapping did not come along: nothing may be unmapped at its
  // address.
  void forget();

  int object() const { return object_.get(); }
  uint64_t session_id() const { return session_id_; }
  uint32_t lane_count() const { return lane_count_; }
  uint32_t arena_bytes() const { return arena_bytes_; }
  abi::LaneView lane(uint32_t index) const { return abi::LaneView::at(base_, index, arena_bytes_); }

 private:
  Fd object_;
  void* base_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t session_id_ = 0;
  uint32_t lane_count_ = 0;
  uint32_t arena_bytes_ = 0;
};

}  // namespace mino
