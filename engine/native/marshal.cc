// SPDX-License-Identifier: Apache-2.0
//
// prepare() lets abi/walk.h report the pieces of client memory and lays each one out; what must come back is noted,
// and finish() goes through the notes. A plain receive or send in a window costs one walk and no copy at all.
#include "engine/native/marshal.h"

#include <cerrno>
#include <cstring>

#include "abi/walk.h"

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
    uint8_t* bytes;          // may be an address that faults
    uint8_t* saved;          // the client's bytes, if they were read and asked for
    uint64_t valid;          // how many of them there are
  };
  // Pointer fields of a structure, or of each element of an array of them.
  struct Repeated {
    PointerFields fields{};
    uint32_t stride = 0;     // 0: one structure
  };

  uint64_t harmless(uint64_t addr) const {
    if (addr == 0 || addr >= kUserEnd) return addr;
    return reinterpret_cast<uint64_t>(m_.scratch_.nowhere(addr));
  }
  uint64_t harmless_value(uint64_t value) const { return value <= kSmallValue ? value : harmless(value); }

  const abi::Arg& arg_of(const abi::Piece& piece) const { return m_.row_->args[piece.arg]; }
  Kind kind_of(const abi::Piece& piece) const { return arg_of(piece).kind; }
  uint32_t stride_of_message(const abi::Piece& piece) const {
    const Kind kind = kind_of(piece);
    if (kind == Kind::kMsgIn || kind == Kind::kMsgOut) return kMsghdrBytes;
    return kind == Kind::kMmsgIn || kind == Kind::kMmsgOut ? kMmsghdrBytes : 0;
  }
  Repeated pointers_of(const abi::Piece& piece) const;
  Give give_of(const abi::Piece& piece) const;
  int32_t structure(const abi::Piece& piece, const Repeated& pointers);
  int32_t input(const abi::Piece& piece);
  int32_t output(const abi::Piece& piece);
  Placed place(const abi::Piece& piece, uint32_t dir, bool save);
  Placed place_output(const abi::Piece& piece, bool clear);
  uint64_t fill(const abi::Piece& piece, uint8_t* to);
  int32_t note(const abi::Piece& piece, const Placed& placed, Give give, bool in_place);
  void point(const abi::Piece& piece, uint64_t to);
  void point(const abi::Piece& piece, const uint8_t* to) { point(piece, reinterpret_cast<uint64_t>(to)); }
  void watch_for_overlap(const abi::Piece& piece);
  bool out_of_range(const abi::Piece& piece);
  void end_messages_at(uint32_t index);

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

void Marshal::Layout::registers() {
  for (uint32_t i = 0; i < 6; i++) {
    const abi::Arg& arg = m_.row_->args[i];
    const uint64_t value = args_[i];
    switch (arg.kind) {
      case Kind::kNone: case Kind::kHost: case Kind::kSigmask:
        local_[i] = 0;
        break;
      case Kind::kValue:
        local_[i] = value;
        if (arg.print == abi::Print::kMsgFlags && (value & kMsgTrunc)) truncates_ = true;
        break;
      case Kind::kFd:
        local_[i] = value;
        break;
      case Kind::kIoctl:
        local_[i] = abi::ioctl_shape(static_cast<uint32_t>(args_[1])).pointer ? harmless(value)
                                                                              : harmless_value(value);
        break;
      case Kind::kFcntl: {
        const uint32_t command = static_cast<uint32_t>(args_[1]);
        if (abi::fcntl_shape(command).pointer) {
          local_[i] = harmless(value);
        } else {
          local_[i] = fcntl_takes_number(command) ? value : harmless_value(value);
        }
        break;
      }
      case Kind::kFdSet:
        local_[i] = harmless(value);
        // The kernel cuts the count to its descriptor table, the walker the sets to kMaxFd.
        if (static_cast<int32_t>(args_[arg.len.arg]) > static_cast<int32_t>(abi::kMaxFd)) {
          local_[arg.len.arg] = abi::kMaxFd;
        }
        break;
      default:
        local_[i] = harmless(value);
    }
  }
}

int32_t Marshal::Layout::piece(const abi::Piece& piece) {
  if (piece.len < piece.asked) end_messages_at(piece.index);
  if (piece.len == 0 || out_of_range(piece)) {
    if (piece.len == 0) point(piece, harmless(piece.addr));
    return -1;
  }
  if (piece.dir & abi::kWindowIn) {
    const Repeated pointers = pointers_of(piece);
    if (pointers.fields.count != 0) return structure(piece, pointers);
  }
  return piece.dir & abi::kWindowOut ? output(piece) : input(piece);
}

// Ranges that no process can have, which the kernel refuses before it looks at anything else (access_ok); and
// counts of plain buffers, which must not exceed what was laid out.
bool Marshal::Layout::out_of_range(const abi::Piece& piece) {
  if (piece.addr >= kUserEnd) {
    if (piece.parent < 0) {
      local_[piece.slot] = piece.addr;
    } else {
      store(m_.notes_[piece.parent].local + piece.slot, piece.addr);
    }
    return true;
  }
  if (piece.parent >= 0) {
    const bool buffer = piece.len_slot != 0 && (piece.wrote == Wrote::kVector || !(piece.dir & abi::kWindowOut));
    // A vector of one is cut to the largest transfer before it is checked.
    const Note& parent = m_.notes_[piece.parent];
    const uint64_t checked = parent.len == kIovBytes ? lesser(piece.asked, kMaxRw) : piece.asked;
    if (!buffer || (piece.addr + checked >= checked && piece.addr + checked <= kUserEnd)) return false;
    store(parent.local + piece.slot, kKernelAddress);
    return true;
  }
  const abi::Arg& arg = arg_of(piece);
  if (arg.len.how != abi::Len::kArg || arg.print != abi::Print::kData || m_.row_->route != abi::Route::kByFd ||
      arg.len.unit != 1) {
    return false;
  }
  const uint64_t count = args_[arg.len.arg];
  bool socket_call = false;
  for (const abi::Arg& other : m_.row_->args) socket_call |= other.print == abi::Print::kMsgFlags;
  const uint64_t checked = socket_call ? lesser(count, kMaxRw) : count;
  if (piece.addr + checked < checked || piece.addr + checked > kUserEnd) {
    local_[piece.slot] = kKernelAddress;
    return true;
  }
  if (count > piece.len) local_[arg.len.arg] = piece.len;
  return false;
}

// More than one call may carry: fewer messages, so that none is cut.
void Marshal::Layout::end_messages_at(uint32_t index) {
  if (index == 0) return;
  for (const abi::Arg& arg : m_.row_->args) {
    if (arg.kind != Kind::kMmsgIn && arg.kind != Kind::kMmsgOut) continue;
    uint64_t& count = local_[arg.len.arg];
    count = lesser(count & 0xffffffff, index);
  }
}

Marshal::Layout::Repeated Marshal::Layout::pointers_of(const abi::Piece& piece) const {
  constexpr PointerFields kMessage{{kNameAt, kVectorAt, kControlAt}, 3};
  constexpr PointerFields kVector{{0}, 1};
  const uint32_t option = static_cast<uint32_t>(args_[2]);
  const uint32_t level = static_cast<uint32_t>(args_[1]);
  if (piece.parent >= 0) {
    const bool vector = piece.len_slot == 0 && stride_of_message(piece) != 0 &&
                        piece.slot == piece.index * kMmsghdrBytes + kVectorAt;
    return vector ? Repeated{kVector, kIovBytes} : Repeated{};
  }
  switch (kind_of(piece)) {
    case Kind::kMsgIn: case Kind::kMsgOut: return {kMessage, 0};
    case Kind::kMmsgIn: case Kind::kMmsgOut: return {kMessage, kMmsghdrBytes};
    case Kind::kIovIn: case Kind::kIovOut: return {kVector, kIovBytes};
    case Kind::kIoctl: return {ioctl_pointers(level), 0};
    case Kind::kOptIn: return {setsockopt_pointers(level, option), 0};
    case Kind::kInOut:
      if (arg_of(piece).len.how == abi::Len::kSockLen) return {getsockopt_pointers(level, option), 0};
      return {};
    default: return {};
  }
}

// A private copy in which every pointer is harmless until the walker reports what it points to.
int32_t Marshal::Layout::structure(const abi::Piece& piece, const Repeated& pointers) {
  // Cut structures are not shown to the kernel at all: it would read on into other buffers.
  const Placed placed = piece.len < piece.asked ? Placed{m_.scratch_.nowhere(piece.addr), nullptr, 0}
                                                : place(piece, piece.dir, true);
  point(piece, placed.bytes);
  if (placed.valid == 0) return -1;
  const uint64_t stride = pointers.stride == 0 ? piece.len : pointers.stride;
  for (uint64_t at = 0; at < placed.valid; at += stride) {
    for (uint32_t i = 0; i < pointers.fields.count; i++) {
      const uint64_t field = at + pointers.fields.offset[i];
      if (field + 8 > placed.valid) break;
      store(placed.bytes + field, harmless_value(load<uint64_t>(placed.bytes + field)));
    }
  }
  shadows_[piece.parent < 0 ? 0 : 1] = {piece.addr, piece.len, placed.valid, placed.saved};
  if (piece.parent < 0 && stride_of_message(piece) != 0) {
    m_.header_ = placed.bytes;
    m_.many_ = stride_of_message(piece) == kMmsghdrBytes;
  }
  Give give = give_of(piece);
  if (give == Give::kChanged) {
    give = Give::kStructure;
    m_.fields_ = pointers.fields;
  }
  return note(piece, placed, give, false);
}

int32_t Marshal::Layout::input(const abi::Piece& piece) {
  if (kind_of(piece) == Kind::kPath && piece.addr == string_addr_) {
    point(piece, string_ ? string_ : m_.scratch_.nowhere(piece.addr));
    return -1;
  }
  const uint8_t* bytes = split_.in_place(piece.addr, piece.len, abi::kWindowIn);
  point(piece, bytes ? bytes : place(piece, abi::kWindowIn, false).bytes);
  return -1;
}

int32_t Marshal::Layout::output(const abi::Piece& piece) {
  const Give give = give_of(piece);
  Placed placed{};
  bool in_place = false;
  if (piece.dir & abi::kWindowIn) {
    placed = place(piece, piece.dir, give == Give::kChanged);
  } else if (truncates_ && (give == Give::kResult || give == Give::kVector)) {
    placed = place(piece, abi::kWindowInOut, true);
  } else {
    // What an ioctl writes is known only by its number, so that it may be less: then zeros, never leftovers.
    const bool clear = kind_of(piece) == Kind::kIoctl || kind_of(piece) == Kind::kFcntl;
    if (!clear || give == Give::kIfconf) {
      placed = {split_.in_place(piece.addr, piece.len, abi::kWindowOut), nullptr, piece.len};
    }
    in_place = placed.bytes != nullptr;
    if (!in_place) placed = place_output(piece, clear);
  }
  point(piece, placed.bytes);
  if (placed.valid == 0) return -1;
  if (give == Give::kVector) watch_for_overlap(piece);
  return note(piece, placed, give, in_place);
}

// Buffers of a vector may overlap, and then the later one wins. Vectors mostly ascend, so that one comparison does.
void Marshal::Layout::watch_for_overlap(const abi::Piece& piece) {
  const uint64_t start = piece.addr, end = piece.addr + piece.len;
  if (start < m_.high_ && end > m_.low_) {
    for (uint32_t i = 0; i < m_.count_ && !m_.overlap_; i++) {
      const Note& other = m_.notes_[i];
      m_.overlap_ = other.give == Give::kVector && start < other.client + other.len && end > other.client;
    }
  }
  if (m_.high_ == 0 || start < m_.low_) m_.low_ = start;
  if (end > m_.high_) m_.high_ = end;
}

Marshal::Give Marshal::Layout::give_of(const abi::Piece& piece) const {
  if (!(piece.dir & abi::kWindowOut)) return Give::kNothing;
  if (stride_of_message(piece) != 0 && piece.wrote == Wrote::kMsg) {
    if (piece.parent < 0) return stride_of_message(piece) == kMmsghdrBytes ? Give::kHeaders : Give::kHeader;
    return piece.len_slot == 0 ? Give::kName : Give::kControl;
  }
  switch (piece.wrote) {
    case Wrote::kAll: return Give::kAll;
    case Wrote::kResult: return Give::kResult;
    case Wrote::kUnits: return Give::kUnits;
    case Wrote::kVector: return Give::kVector;
    case Wrote::kSockLen: return Give::kSockLen;
    case Wrote::kChanged: break;
    case Wrote::kMsg: return Give::kNothing;
  }
  if (piece.dir & abi::kWindowIn) return Give::kChanged;
  const bool ifconf = kind_of(piece) == Kind::kIoctl && piece.parent >= 0 &&
                      abi::ioctl_shape(static_cast<uint32_t>(args_[1])).nested == Nested::kIfconf;
  return ifconf ? Give::kIfconf : Give::kAll;
}

// Copies the piece in; first the bytes that the walker has seen already.
uint64_t Marshal::Layout::fill(const abi::Piece& piece, uint8_t* to) {
  if (piece.addr != peek_addr_ || piece.len < sizeof peek_) return split_.copy_in(to, piece.addr, piece.len);
  store(to, peek_);
  const uint64_t rest = piece.len - sizeof peek_;
  return sizeof peek_ + (rest == 0 ? 0 : split_.copy_in(to + sizeof peek_, piece.addr + sizeof peek_, rest));
}

// For pieces that the kernel reads, and perhaps writes. The saved copy lies before the live one: should the kernel
// write more than the table says, that hits nothing.
Marshal::Layout::Placed Marshal::Layout::place(const abi::Piece& piece, uint32_t dir, bool save) {
  Scratch& scratch = m_.scratch_;
  const Placed bad{scratch.nowhere(piece.addr), nullptr, 0};
  uint8_t* const first = scratch.alloc(piece.len);
  if (!first) return bad;
  const uint64_t readable = fill(piece, first);
  if (readable == 0) return bad;
  const uint64_t writable = dir & abi::kWindowOut ? split_.probe(piece.addr, readable) : readable;
  uint8_t* const saved = save ? first : nullptr;
  if (readable == piece.len && writable == readable) {
    if (!save) return {first, nullptr, readable};
    uint8_t* const live = scratch.alloc(readable);
    if (!live) return bad;
    std::memcpy(live, first, readable);
    return {live, saved, readable};
  }
  scratch.trim(first + readable);
  uint8_t* const mirror = scratch.mirror(piece.addr, first, readable, writable);
  return mirror ? Placed{mirror, saved, readable} : bad;
}

Marshal::Layout::Placed Marshal::Layout::place_output(const abi::Piece& piece, bool clear) {
  Scratch& scratch = m_.scratch_;
  const uint64_t writable = split_.probe(piece.addr, piece.len);
  uint8_t* bytes = nullptr;
  if (writable == piece.len) {
    bytes = scratch.alloc(piece.len);
  } else if (writable != 0) {
    bytes = scratch.mirror(piece.addr, nullptr, writable, writable);
  }
  if (!bytes) return {scratch.nowhere(piece.addr), nullptr, 0};
  if (clear) std::memset(bytes, 0, writable);
  return {bytes, nullptr, writable};
}

int32_t Marshal::Layout::note(const abi::Piece& piece, const Placed& placed, Give give, bool in_place) {
  if (m_.count_ == kMaxNotes) {
    point(piece, m_.scratch_.nowhere(piece.addr));
    end_messages_at(piece.index);
    return abi::Walk<Layout, Layout>::kStop;
  }
  m_.notes_[m_.count_] = {piece.addr, placed.valid, placed.bytes, placed.saved,
                          piece.index, give,        piece.arg,    in_place};
  return static_cast<int32_t>(m_.count_++);
}

void Marshal::Layout::point(const abi::Piece& piece, uint64_t to) {
  if (piece.parent < 0) {
    local_[piece.slot] = to;
    return;
  }
  uint8_t* const parent = m_.notes_[piece.parent].local;
  store(parent + piece.slot, to);
  if (piece.len_slot != 0) store(parent + piece.len_slot, piece.len);
}

Marshal::Marshal(Scratch& scratch) : scratch_(scratch), notes_(static_cast<Note*>(scratch.table())) {}

void Marshal::prepare(const abi::Row& row, const uint64_t args[6], Split& split, uint64_t local[6]) {
  scratch_.reset();
  count_ = 0;
  row_ = &row;
  header_ = nullptr;
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

// Of the message's bytes, or of the call's, those that lie in this buffer. Called in the buffers' order.
uint64_t Marshal::vector_bytes(const Note& note) {
  if (many_ && note.index != left_index_) {
    left_index_ = note.index;
    left_ = load<uint32_t>(header_ + note.index * kMmsghdrBytes + kMsgLenAt);
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
    case Give::kNothing: case Give::kChanged: case Give::kStructure: return true;
    case Give::kHeader: return give_header(note, split);
    case Give::kHeaders: return give_headers(note, count, split);
    case Give::kControl: return give_control(note, split);
    case Give::kAll: bytes = note.len; break;
    case Give::kResult: bytes = lesser(note.len, count); break;
    case Give::kUnits: bytes = lesser(note.len, count * row_->args[note.arg].len.unit); break;
    case Give::kVector: bytes = vector_bytes(note); break;
    case Give::kSockLen: bytes = socklen_bytes(note); break;
    case Give::kIfconf: {
      const int32_t length = load<int32_t>(notes_[0].local);
      bytes = length < 0 ? 0 : lesser(note.len, static_cast<uint32_t>(length));
      break;
    }
    case Give::kName: {
      const int32_t length = load<int32_t>(header_ + note.index * kMmsghdrBytes + kNamelenAt);
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

// A pointer field is given only if the kernel has put something else there.
bool Marshal::give_structure(const Note& note, Split& split) {
  uint64_t at = 0;
  bool good = true;
  for (uint32_t i = 0; i < fields_.count; i++) {
    const uint64_t field = fields_.offset[i];
    if (field + 8 > note.len) break;
    good &= give_changed(note, at, field, split);
    if (load<uint64_t>(note.local + field) != replaced_[i]) good &= give_range(note, field, field + 8, split);
    at = field + 8;
  }
  return good & give_changed(note, at, note.len, split);
}

// Control messages without the padding between them, which the kernel leaves as it was.
bool Marshal::give_control(const Note& note, Split& split) {
  constexpr uint64_t kCmsgHeader = 16;
  const uint64_t end = lesser(note.len, load<uint64_t>(header_ + note.index * kMmsghdrBytes + kControllenAt));
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
  bool good = true;
  if (load<uint64_t>(note.saved + kNameAt) != 0) good = give_range(note, kNamelenAt, kNamelenAt + 4, split);
  return good & give_range(note, kControllenAt, kFlagsAt + 4, split);
}

// All headers in one range, from copies of the client's own bytes: the rest of them is as it was.
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
