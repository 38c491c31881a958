// SPDX-License-Identifier: Apache-2.0
//
// The split: the only way in which an engine touches client memory. A range inside a window is in
// the arena already. The waiting client is asked for everything else by upcalls, in pieces that fit
// into the arena behind the last window. One Split lives for one call. Used by the lane loop and by
// engine/native/marshal. It must never trust a byte count that the client answers, and never touch
// the arena outside its bounds.
#pragma once

#include <cstdint>

#include "abi/decode.h"
#include "abi/layout.h"
#include "channel/session_stats.h"

namespace mino {

// Posts one upcall to the client that waits in this call, and returns its answer: the bytes served,
// or -errno.
class Upcaller {
 public:
  virtual int64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len,
                         uint32_t arena_off) = 0;

 protected:
  ~Upcaller() = default;
};

class Split {
 public:
  // `arena` is shared with the client; windows were checked against `arena_bytes`. Upcalls and
  // bytes are counted in `stats`, the bytes when the Split is destroyed.
  Split(const abi::CheckedSubmission& submission, uint8_t* arena, uint32_t arena_bytes,
        Upcaller& upcaller, SessionStats& stats)
      : submission_(submission),
        arena_(arena),
        arena_bytes_(arena_bytes),
        upcaller_(upcaller),
        stats_(stats) {}
  ~Split();
  Split(const Split&) = delete;
  Split& operator=(const Split&) = delete;

  // Returns the bytes copied: fewer than n where client memory is bad.
  uint64_t copy_in(void* to, uint64_t addr, uint64_t n);
  uint64_t copy_out(uint64_t addr, const void* from, uint64_t n);

  // Copies a string, at most `max` bytes. Returns the bytes including its NUL; -EFAULT; or
  // -ENAMETOOLONG, with `to` full and no NUL in it.
  int64_t string(uint64_t addr, char* to, uint32_t max);

  // How many bytes from addr could be written, up to n. Changes nothing.
  uint64_t probe(uint64_t addr, uint64_t n);

  // The arena's bytes for [addr, addr + n) if one window covers all of it in direction `dir`, else
  // nullptr. The client can change them at any time: never use this for anything whose content was
  // checked.
  uint8_t* in_place(uint64_t addr, uint64_t n, uint32_t dir);

  // The first n bytes of a range that in_place() gave out were filled. False if the client could
  // not take them.
  bool wrote_in_place(uint64_t addr, const uint8_t* place, uint64_t n);

  // Call this if two output buffers overlap: from then on, everything is written to the client at
  // once, in the order of the calls.
  void keep_order() { ordered_ = true; }

  // What the client has to copy out when the call is done.
  const abi::Extent* extents() const { return extents_; }
  uint16_t extent_count() const { return extent_count_; }

 private:
  struct Hit {
    uint8_t* place;  // arena bytes for the address, or nullptr
    uint64_t bytes;  // covered from there; without a window, the bytes until the next window
  };
  Hit find(uint64_t addr, uint64_t n, uint32_t dir) const;
  void find_upcall_room();
  uint64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len, uint32_t arena_off);
  uint64_t fetch(uint8_t* to, uint64_t addr, uint64_t n);
  uint64_t store(uint64_t addr, const uint8_t* from, uint64_t n);

  const abi::CheckedSubmission& submission_;
  uint8_t* const arena_;
  const uint32_t arena_bytes_;
  uint32_t room_off_ = UINT32_MAX;  // where upcalls may use the arena; found at the first upcall
  uint32_t room_bytes_ = 0;
  Upcaller& upcaller_;
  SessionStats& stats_;
  uint64_t bytes_in_ = 0, bytes_out_ = 0;
  bool ordered_ = false;
  uint16_t extent_count_ = 0;
  abi::Extent extents_[abi::kMaxExtents];  // not cleared: a call pays only for what it uses
};

}  // namespace mino
