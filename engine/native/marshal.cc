// SPDX-License-Identifier: Apache-2.0
//
// prepare() lets abi/walk.h report the pieces of client memory to Marshal::Layout, which lays each
// one out and notes what must come back; finish() goes through the notes. A plain receive or send
// in a window costs one walk and no copy at all.
#include "engine/native/marshal.h"

#include <cerrno>
#include <cstring>

#include "engine/native/marshal_layout.h"

namespace mino {

using abi::Kind;

Marshal::Marshal(Scratch& scratch)
    : scratch_(scratch), notes_(static_cast<Note*>(scratch.table())) {}

void Marshal::prepare(const abi::Row& row, const uint64_t args[6], Split& split,
                      uint64_t local[6]) {
  scratch_.reset();
  count_ = 0;
  row_ = &row;
  header_ = nullptr;
  header_bytes_ = 0;
  many_ = false;
  fields_.count = 0;
  low_ = high_ = 0;
  overlap_ = false;
  Layout layout(*this, args, split, local);
  layout.registers();
  abi::walk(row, args, layout, layout);
  if (fields_.count != 0 && count_ != 0) {
    for (uint32_t i = 0; i < fields_.count; i++) {
      const uint32_t field = fields_.offset[i];
      if (field + 8 <= notes_[0].len) replaced_[i] = load<uint64_t>(notes_[0].local + field);
    }
  }
  scratch_.seal();
}

int64_t Marshal::finish(int64_t result, Split& split) {
  left_ = result > 0 ? static_cast<uint64_t>(result) : 0;
  left_index_ = UINT32_MAX;
  if (overlap_) split.keep_order();
  bool good = true;
  for (uint32_t i = 0; i < count_; i++) {
    if (notes_[i].give != Give::kNothing) good &= give(notes_[i], result, split);
  }
  return good ? result : -EFAULT;
}

// A field of a message's header, as the kernel left it; 0 if the client's memory ended before it.
template <class T>
T Marshal::header_field(uint32_t index, uint32_t at) const {
  const uint64_t offset = uint64_t{index} * kMmsghdrBytes + at;
  return offset + sizeof(T) <= header_bytes_ ? load<T>(header_ + offset) : T{};
}

// How many of the message's bytes, or of the call's, lie in this buffer. Must be called in the
// order of the buffers.
uint64_t Marshal::vector_bytes(const Note& note) {
  if (many_ && note.index != left_index_) {
    left_index_ = note.index;
    left_ = header_field<uint32_t>(note.index, kMsgLenAt);
  }
  const uint64_t bytes = lesser(left_, note.len);
  left_ -= bytes;
  return bytes;
}

uint64_t Marshal::socklen_bytes(const Note& note) const {
  const uint8_t length_arg = row_->args[note.arg].len.arg;
  for (uint32_t i = 0; i < count_; i++) {
    if (notes_[i].arg != length_arg || notes_[i].len < 4) continue;
    const int32_t length = load<int32_t>(notes_[i].local);
    return length < 0 ? 0 : lesser(note.len, static_cast<uint32_t>(length));
  }
  return 0;
}

bool Marshal::give(const Note& note, int64_t result, Split& split) {
  if (note.give == Give::kChanged) return give_changed(note, 0, note.len, split);
  if (note.give == Give::kStructure) return give_structure(note, split);
  if (result < 0) return true;
  const uint64_t count = static_cast<uint64_t>(result);
  if (many_ && note.give != Give::kHeaders && note.index >= count) return true;
  uint64_t bytes = 0;
  switch (note.give) {
    case Give::kNothing:
    case Give::kChanged:
    case Give::kStructure:
      return true;
    case Give::kHeader:
      return give_header(note, split);
    case Give::kHeaders:
      return give_headers(note, count, split);
    case Give::kControl:
      return give_control(note, split);
    case Give::kAll:
      bytes = note.len;
      break;
    case Give::kResult:
      bytes = lesser(note.len, count);
      break;
    case Give::kUnits:
      bytes = lesser(note.len, count * row_->args[note.arg].len.unit);
      break;
    case Give::kVector:
      bytes = vector_bytes(note);
      break;
    case Give::kSockLen:
      bytes = socklen_bytes(note);
      break;
    case Give::kIfconf: {
      const int32_t length = notes_[0].len < 4 ? 0 : load<int32_t>(notes_[0].local);
      bytes = length < 0 ? 0 : lesser(note.len, static_cast<uint32_t>(length));
      break;
    }
    case Give::kName: {
      const int32_t length = header_field<int32_t>(note.index, kNamelenAt);
      bytes = length < 0 ? 0 : lesser(note.len, static_cast<uint32_t>(length));
      break;
    }
  }
  return note.saved ? give_changed(note, 0, bytes, split) : give_range(note, 0, bytes, split);
}

bool Marshal::give_range(const Note& note, uint64_t from, uint64_t to, Split& split) {
  if (to <= from) return true;
  if (note.in_place) return split.wrote_in_place(note.client + from, note.local + from, to - from);
  return split.copy_out(note.client + from, note.local + from, to - from) == to - from;
}

// From the first byte that differs to the last one.
bool Marshal::give_changed(const Note& note, uint64_t from, uint64_t to, Split& split) {
  if (to <= from || std::memcmp(note.local + from, note.saved + from, to - from) == 0) return true;
  while (note.local[from] == note.saved[from]) from++;
  while (note.local[to - 1] == note.saved[to - 1]) to--;
  return give_range(note, from, to, split);
}

// A pointer field is given back only if the kernel has put something else there.
bool Marshal::give_structure(const Note& note, Split& split) {
  uint64_t at = 0;
  bool good = true;
  for (uint32_t i = 0; i < fields_.count; i++) {
    const uint64_t field = fields_.offset[i];
    if (field >= note.len) break;
    good &= give_changed(note, at, field, split);
    at = field + 8;
    if (at > note.len) return good;  // half a pointer, which is none
    if (load<uint64_t>(note.local + field) != replaced_[i])
      good &= give_range(note, field, field + 8, split);
  }
  return good & give_changed(note, at, note.len, split);
}

// Control messages without the padding between them, which the kernel leaves unchanged.
bool Marshal::give_control(const Note& note, Split& split) {
  constexpr uint64_t kCmsgHeader = 16;
  const uint64_t end = lesser(note.len, header_field<uint64_t>(note.index, kControllenAt));
  uint64_t from = 0, at = 0;
  bool good = true;
  while (end - at >= kCmsgHeader) {
    const uint64_t len = load<uint64_t>(note.local + at);
    if (len < kCmsgHeader || len > end - at) break;
    const uint64_t next = at + ((len + 7) & ~uint64_t{7});
    if (next >= end) return good & give_range(note, from, at + len, split);
    if (next != at + len) {
      good &= give_range(note, from, at + len, split);
      from = next;
    }
    at = next;
  }
  return good & give_range(note, from, end, split);
}

bool Marshal::give_header(const Note& note, Split& split) {
  if (note.len < kMsghdrBytes) return true;
  bool good = true;
  if (load<uint64_t>(note.saved + kNameAt) != 0)
    good = give_range(note, kNamelenAt, kNamelenAt + 4, split);
  return good & give_range(note, kControllenAt, kFlagsAt + 4, split);
}

// All headers in one range, from copies of the client's own bytes: what is not a result is
// unchanged.
bool Marshal::give_headers(const Note& note, uint64_t count, Split& split) {
  const bool receives = row_->args[note.arg].kind == Kind::kMmsgOut;
  count = lesser(count, note.len / kMmsghdrBytes);
  if (count == 0) return true;
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t* const from = note.local + i * kMmsghdrBytes;
    uint8_t* const to = note.saved + i * kMmsghdrBytes;
    if (receives) {
      if (load<uint64_t>(to + kNameAt) != 0) std::memcpy(to + kNamelenAt, from + kNamelenAt, 4);
      std::memcpy(to + kControllenAt, from + kControllenAt, kFlagsAt + 4 - kControllenAt);
    }
    std::memcpy(to + kMsgLenAt, from + kMsgLenAt, 4);
  }
  const uint64_t first = receives ? kNamelenAt : kMsgLenAt;
  const uint64_t bytes = (count - 1) * kMmsghdrBytes + kMsgLenAt + 4 - first;
  return split.copy_out(note.client + first, note.saved + first, bytes) == bytes;
}

}  // namespace mino
