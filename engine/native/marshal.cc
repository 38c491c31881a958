// SPDX-License-Identifier: Apache-2.0
//
// prepare() lets abi/walk.h report the pieces of client memory and lays each one out; what must come back is noted,
// and finish() goes through the notes. A plain receive or send in a window costs one walk and no copy at all.
#include "engine/native/marshal.h"

#include <cerrno>
#include <cstring>

#include "abi/walk.h"
#include "engine/native/pointers.h"

namespace mino {

using abi::Kind;
using abi::Nested;
using abi::Wrote;

namespace {

constexpr uint64_t kUserEnd = 0x7ffffffff000;  // TASK_SIZE_MAX with four-level page tables
constexpr uint64_t kKernelAddress = 0xffff800000000000;  // no user address, whatever the size
constexpr uint64_t kMaxRw = 0x7ffff000;        // MAX_RW_COUNT
constexpr uint64_t kSmallValue = 0xffff;       // below mmap_min_addr: cannot be a pointer
constexpr uint64_t kMsgTrunc = 0x20;
constexpr uint32_t kMsghdrBytes = 56, kMmsghdrBytes = 64, kIovBytes = 16;
constexpr uint32_t kNameAt = 0, kNamelenAt = 8, kVectorAt = 16, kControlAt = 32, kControllenAt = 40,
                   kFlagsAt = 48, kMsgLenAt = 56;

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void store(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

uint64_t lesser(uint64_t a, uint64_t b) { return a < b ? a : b; }

}  // namespace

// The walker's Reader and Sink.
class Marshal::Layout {
 public:
  Layout(Marshal& marshal, const uint64_t* args, Split& split, uint64_t* local)
      : m_(marshal), args_(args), split_(split), local_(local) {}

  void registers();

  // Reader: from the private copy of a structure if it has been laid out already, so that the walker decides from the
  // very bytes that the kernel gets.
  bool read(uint64_t addr, void* to, uint32_t bytes) {
    for (const Shadow& shadow : shadows_) {
      const uint64_t into = addr - shadow.addr;
      if (into > shadow.len || bytes > shadow.len - into) continue;
      if (into + bytes > shadow.valid) return false;
      std::memcpy(to, shadow.bytes + into, bytes);
      return true;
    }
    if (split_.copy_in(to, addr, bytes) != bytes) return false;
    if (bytes == sizeof peek_) {
      peek_addr_ = addr;
      std::memcpy(&peek_, to, sizeof peek_);
    }
    return true;
  }

  int64_t string(uint64_t addr, uint32_t max) {
    string_addr_ = addr;
    string_ = m_.scratch_.alloc(max);
    if (!string_) return -EFAULT;
    const int64_t bytes = split_.string(addr, reinterpret_cast<char*>(string_), max);
    if (bytes == -ENAMETOOLONG) return max;
    if (bytes < 0) string_ = nullptr;
    if (string_) m_.scratch_.trim(string_ + bytes);
    return bytes;
  }

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
    uint8_t* bytes;   // may be an address that faults
    uint8_t* saved;   // the client's bytes, if they were read and asked for
    uint64_t valid;   // of them
  };

  uint64_t harmless(uint64_t addr) const {
    if (addr == 0 || addr >= kUserEnd) return addr;
    return reinterpret_cast<uint64_t>(m_.scratch_.nowhere(addr));
  }
  uint64_t harmless_value(uint64_t value) const { return value <= kSmallValue ? value : harmless(value); }

  Kind kind_of(const abi::Piece& piece) const { return m_.row_->args[piece.arg].kind; }
  bool is_vector(const abi::Piece& piece) const;
  abi::PointerFields fields_of(const abi::Piece& piece) const;
  int32_t structure(const abi::Piece& piece);
  void disarm(const abi::Piece& piece, uint8_t* bytes, uint64_t valid, const PointerFields& fields);
  int32_t output(const abi::Piece& piece);
  int32_t input(const abi::Piece& piece);
  Give give_of(const abi::Piece& piece) const;
  Placed place(const abi::Piece& piece, uint32_t dir, bool save);
  Placed place_output(const abi::Piece& piece);
  uint64_t fill(const abi::Piece& piece, uint8_t* to);
  int32_t note(const abi::Piece& piece, const Placed& placed, Give give, bool in_place);
  void point(const abi::Piece& piece, const uint8_t* to);
  void shorten(const abi::Piece& piece);
  bool ends_call(const abi::Piece& piece);

  Marshal& m_;
  const uint64_t* args_;
  Split& split_;
  uint64_t* local_;
  Shadow shadows_[2];  // the argument's structure, and the vector inside it
  uint64_t peek_addr_ = 0;
  uint32_t peek_ = 0;  // the last four bytes read for the walker: a length that the kernel must see unchanged
  uint64_t string_addr_ = 0;
  uint8_t* string_ = nullptr;
  bool truncates_ = false;  // MSG_TRUNC: the result says nothing about what was written
};

}  // namespace mino
