// SPDX-License-Identifier: Apache-2.0
//
// The private memory in which one lane thread lays out what the kernel gets to see of a call:
// bump-allocated, forgotten at the next call. Pages appear when they are touched. Behind it lies a
// zone that is never mapped, for pointers which must fault as the client's own would. Used by
// engine/native/marshal only. It is not inherited by a forked process (MADV_DONTFORK): a new
// session makes its own.
//
//   base                          kTableBytes: the marshal's notes, an array that it indexes itself
//   + kTableBytes                 kDataBytes: buffers
//   + kTableBytes + kDataBytes    kGuardBytes: PROT_NONE
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "abi/limits.h"

namespace mino {

class Scratch {
 public:
  static constexpr uint64_t kTableBytes = 64u << 20;
  // With copies, and slack for alignment.
  static constexpr uint64_t kDataBytes = 2 * abi::kMaxCallBytes + (32u << 20);
  static constexpr uint64_t kGuardBytes = abi::kMaxCallBytes + (1u << 20);
  static constexpr uint64_t kKeepBytes = 1u << 20;  // what stays resident between calls

  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* table() const { return base_; }

  // Forgets everything, opens what seal() closed, and returns the pages of a big call.
  void reset() {
    if (used_ > kKeepBytes || seal_count_ != 0 || given_away_) clean();
    used_ = 0;
  }

  // n bytes, 16-byte aligned, content undefined; nullptr when full.
  uint8_t* alloc(uint64_t n) {
    const uint64_t start = (used_ + 15) & ~uint64_t{15};
    if (n > kDataBytes || start > kDataBytes - n) return nullptr;
    used_ = start + n;
    return data_ + start;
  }

  // Gives back the part of the last alloc() behind `end`.
  void trim(const uint8_t* end) { used_ = static_cast<uint64_t>(end - data_); }

  // A stand-in for client memory that is partly bad: `readable` bytes, copied from `from`, at the
  // client's offset in its page, so that both fault at the same byte. After seal(), pages behind
  // the first `writable` bytes are read-only, and nothing is mapped behind the readable ones.
  // nullptr if there is no room.
  uint8_t* mirror(uint64_t addr, const uint8_t* from, uint64_t readable, uint64_t writable);

  // Makes the protections of mirrors real. Call this once, when everything is written.
  void seal() {
    if (seal_count_ != 0) apply_seals();
  }

  // The kernel may hold on to this call's pages: the next one gets others.
  void give_away() { given_away_ = true; }

  // An address that faults, with the client's offset in its page.
  uint8_t* nowhere(uint64_t addr) const { return guard_ + (addr & (page_ - 1)); }

 private:
  static constexpr uint32_t kMaxSeals = 128;
  struct Seal {
    uint8_t* start;
    uint64_t bytes;
    int protection;
  };

  void clean();
  void apply_seals();
  bool note_seal(uint8_t* start, uint64_t bytes, int protection);

  uint8_t* base_;
  uint8_t* data_;
  uint8_t* guard_;
  uint64_t page_;
  uint64_t used_ = 0;
  uint32_t seal_count_ = 0;
  bool sealed_ = false;
  bool given_away_ = false;
  pid_t owner_;
  Seal seals_[kMaxSeals];
};

}  // namespace mino
