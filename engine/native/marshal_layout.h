// SPDX-License-Identifier: Apache-2.0
//
// The first half of marshalling: the walker's Reader and Sink, which lays out what the kernel gets
// to see. Private to engine/native/marshal. Must keep the rules at the head of marshal.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "abi/walk.h"
#include "engine/native/marshal.h"

namespace mino {

// Offsets within struct msghdr and mmsghdr.
inline constexpr uint32_t kMsghdrBytes = 56, kMmsghdrBytes = 64, kIovBytes = 16;
inline constexpr uint32_t kNameAt = 0, kNamelenAt = 8, kVectorAt = 16, kControlAt = 32,
                          kControllenAt = 40, kFlagsAt = 48, kMsgLenAt = 56;

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline uint64_t lesser(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

// The walker's Reader and Sink.
class Marshal::Layout {
 public:
  Layout(Marshal& marshal, const uint64_t* args, Split& split, uint64_t* local)
      : m_(marshal), args_(args), split_(split), local_(local) {}

  void registers();

  // Reader: reads from the private copy of a structure if it has been laid out already. So the
  // walker decides from the very bytes that the kernel gets.
  bool read(uint64_t addr, void* to, uint32_t bytes);
  int64_t string(uint64_t addr, uint32_t max);

  // Sink.
  int32_t piece(const abi::Piece& piece);

 private:
  // The client's bytes of a structure whose pointers are being replaced.
  struct Shadow {
    uint64_t addr = 0;
    uint64_t len = 0;
    uint64_t valid = 0;
    const uint8_t* bytes = nullptr;
  };
  struct Placed {
    uint8_t* bytes;  // may be an address that faults
    uint8_t* saved;  // the client's bytes, if they were read and asked for
    uint64_t valid;  // how many of them there are
  };
  // Pointer fields of a structure, or of each element of an array of them.
  struct Repeated {
    PointerFields fields{};
    uint32_t stride = 0;  // 0: one structure
  };

  uint64_t harmless(uint64_t addr) const;
  uint64_t harmless_value(uint64_t value) const;

  const abi::Arg& arg_of(const abi::Piece& piece) const { return m_.row_->args[piece.arg]; }
  abi::Kind kind_of(const abi::Piece& piece) const { return arg_of(piece).kind; }
  uint32_t stride_of_message(const abi::Piece& piece) const;
  Repeated pointers_of(const abi::Piece& piece) const;
  Give give_of(const abi::Piece& piece) const;
  int32_t structure(const abi::Piece& piece, const Repeated& pointers);
  int32_t input(const abi::Piece& piece);
  int32_t output(const abi::Piece& piece);
  Placed place(const abi::Piece& piece, uint32_t dir, bool save, uint32_t tail);
  Placed place_output(const abi::Piece& piece, bool clear);
  uint64_t fill(const abi::Piece& piece, uint8_t* to);
  int32_t note(const abi::Piece& piece, const Placed& placed, Give give, bool in_place);
  void point(const abi::Piece& piece, uint64_t to);
  void point(const abi::Piece& piece, const uint8_t* to) {
    point(piece, reinterpret_cast<uint64_t>(to));
  }
  void watch_for_overlap(const abi::Piece& piece);
  bool out_of_range(const abi::Piece& piece);
  void end_messages_at(uint32_t index);

  Marshal& m_;
  const uint64_t* args_;
  Split& split_;
  uint64_t* local_;
  Shadow shadows_[2];  // the argument's structure, and the vector inside it
  uint64_t peek_addr_ = 0;
  // The last four bytes read for the walker: a length that the kernel must see unchanged.
  uint32_t peek_ = 0;
  uint64_t string_addr_ = 0;
  uint8_t* string_ = nullptr;
  bool has_flags_ = false;  // MSG_*: a socket call
  bool truncates_ = false;  // MSG_TRUNC: the result says nothing about what was written
  bool zero_copy_ = false;  // MSG_ZEROCOPY: the kernel keeps the pages
};

}  // namespace mino
