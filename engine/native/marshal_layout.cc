// SPDX-License-Identifier: Apache-2.0
//
// A plain buffer in a window is used where it is. Everything else gets a place in scratch.
#include "engine/native/marshal_layout.h"

#include <cerrno>

namespace mino {

using abi::Kind;
using abi::Nested;
using abi::Wrote;

namespace {

// The end of what can be a user address for an x86-64 program without five-level page tables.
constexpr uint64_t kUserEnd = 0x7ffffffff000;
// The kernel's half of every address space: access_ok refuses it at once, whatever the size.
constexpr uint64_t kKernelAddress = 0xffff800000000000;
constexpr uint64_t kMaxRw = 0x7ffff000;   // MAX_RW_COUNT
constexpr uint64_t kSmallValue = 0xffff;  // below mmap_min_addr: cannot be a pointer
constexpr uint64_t kMsgTrunc = 0x20, kMsgZerocopy = 0x4000000;
// Zeros behind a structure that holds pointers: if a kernel reads more of it than it was given, it
// finds no pointers.
constexpr uint32_t kStructureTail = 128;

template <class T>
void store(uint8_t* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

bool Marshal::Layout::read(uint64_t addr, void* to, uint32_t bytes) {
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

int64_t Marshal::Layout::string(uint64_t addr, uint32_t max) {
  string_addr_ = addr;
  string_ = m_.scratch_.alloc(max);
  if (!string_) return -EFAULT;
  const int64_t bytes = split_.string(addr, reinterpret_cast<char*>(string_), max);
  if (bytes == -ENAMETOOLONG) return max;
  if (bytes < 0) string_ = nullptr;
  if (string_) m_.scratch_.trim(string_ + bytes);
  return bytes;
}

uint64_t Marshal::Layout::harmless(uint64_t addr) const {
  if (addr == 0) return 0;
  if (addr > kUserEnd) return kKernelAddress;
  return reinterpret_cast<uint64_t>(m_.scratch_.nowhere(addr));
}

// For fields and arguments that may be a pointer or a number.
uint64_t Marshal::Layout::harmless_value(uint64_t value) const {
  return value <= kSmallValue ? value : harmless(value);
}

uint32_t Marshal::Layout::stride_of_message(const abi::Piece& piece) const {
  const Kind kind = kind_of(piece);
  if (kind == Kind::kMsgIn || kind == Kind::kMsgOut) return kMsghdrBytes;
  return kind == Kind::kMmsgIn || kind == Kind::kMmsgOut ? kMmsghdrBytes : 0;
}

void Marshal::Layout::registers() {
  for (uint32_t i = 0; i < 6; i++) {
    const abi::Arg& arg = m_.row_->args[i];
    const uint64_t value = args_[i];
    if (arg.kind <= Kind::kFd) {
      local_[i] = arg.kind == Kind::kNone ? 0 : value;
      if (arg.print == abi::Print::kMsgFlags) {
        has_flags_ = true;
        truncates_ = (value & kMsgTrunc) != 0;
        zero_copy_ = (value & kMsgZerocopy) != 0;
        if (zero_copy_) m_.scratch_.give_away();
      }
      continue;
    }
    switch (arg.kind) {
      case Kind::kHost:
      case Kind::kSigmask:
        local_[i] = 0;
        break;
      case Kind::kIoctl:
        local_[i] = abi::ioctl_shape(static_cast<uint32_t>(args_[1])).pointer
                        ? harmless(value)
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
        // The kernel cuts the count to its descriptor table, and the walker cuts the sets to
        // kMaxFd.
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

// Ranges that no process can have: the kernel refuses them before it looks at anything else
// (access_ok). And counts of plain buffers, which must not exceed what was laid out.
bool Marshal::Layout::out_of_range(const abi::Piece& piece) {
  if (piece.addr > kUserEnd) {
    if (piece.parent < 0) {
      local_[piece.slot] = kKernelAddress;
    } else {
      store(m_.notes_[piece.parent].local + piece.slot, kKernelAddress);
    }
    return true;
  }
  if (piece.parent >= 0) {
    const bool buffer =
        piece.len_slot != 0 && (piece.wrote == Wrote::kVector || !(piece.dir & abi::kWindowOut));
    // A vector of one buffer is cut to the largest transfer before it is checked.
    const Note& parent = m_.notes_[piece.parent];
    const uint64_t checked = parent.len == kIovBytes ? lesser(piece.asked, kMaxRw) : piece.asked;
    if (!buffer || (piece.addr + checked >= checked && piece.addr + checked <= kUserEnd))
      return false;
    store(parent.local + piece.slot, kKernelAddress);
    return true;
  }
  const abi::Arg& arg = arg_of(piece);
  if (arg.wrote == Wrote::kUnits && piece.addr + piece.asked > kUserEnd) {
    local_[piece.slot] = kKernelAddress;
    return true;
  }
  if (arg.len.how != abi::Len::kArg || arg.print != abi::Print::kData ||
      m_.row_->route != abi::Route::kByFd || arg.len.unit != 1) {
    return false;
  }
  const uint64_t count = args_[arg.len.arg];
  const uint64_t checked = has_flags_ ? lesser(count, kMaxRw) : count;
  if (piece.addr + checked < checked || piece.addr + checked > kUserEnd) {
    local_[piece.slot] = kKernelAddress;
    return true;
  }
  if (count > piece.len) local_[arg.len.arg] = piece.len;
  return false;
}

// If there is more than one call may carry, there will be fewer messages, so that none is cut.
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
    case Kind::kMsgIn:
    case Kind::kMsgOut:
      return {kMessage, 0};
    case Kind::kMmsgIn:
    case Kind::kMmsgOut:
      return {kMessage, kMmsghdrBytes};
    case Kind::kIovIn:
    case Kind::kIovOut:
      return {kVector, kIovBytes};
    case Kind::kIoctl:
      return {ioctl_pointers(level), 0};
    case Kind::kOptIn:
      return {setsockopt_pointers(level, option), 0};
    case Kind::kInOut:
      if (arg_of(piece).len.how == abi::Len::kSockLen)
        return {getsockopt_pointers(level, option), 0};
      return {};
    default:
      return {};
  }
}

// A private copy in which every pointer is harmless until the walker reports what it points to.
int32_t Marshal::Layout::structure(const abi::Piece& piece, const Repeated& pointers) {
  // The kernel never sees a structure that was cut: it would read on into other buffers.
  const Placed placed = piece.len < piece.asked
                            ? Placed{m_.scratch_.nowhere(piece.addr), nullptr, 0}
                            : place(piece, piece.dir, true, kStructureTail);
  point(piece, placed.bytes);
  if (placed.valid == 0) return -1;
  const uint64_t stride = pointers.stride == 0 ? piece.len : pointers.stride;
  for (uint64_t at = 0; at < placed.valid; at += stride) {
    for (uint32_t i = 0; i < pointers.fields.count; i++) {
      const uint64_t field = at + pointers.fields.offset[i];
      if (field >= placed.valid) break;
      // Half a pointer at the end is not a pointer.
      const uint64_t value = field + 8 <= placed.valid ? load<uint64_t>(placed.bytes + field) : 0;
      store(placed.bytes + field, harmless_value(value));
    }
  }
  shadows_[piece.parent < 0 ? 0 : 1] = {piece.addr, piece.len, placed.valid, placed.saved};
  if (piece.parent < 0 && stride_of_message(piece) != 0) {
    m_.header_ = placed.bytes;
    m_.header_bytes_ = placed.valid;
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
  const bool is_string = kind_of(piece) == Kind::kPath || kind_of(piece) == Kind::kString;
  if (is_string && piece.addr == string_addr_) {
    point(piece, string_ ? string_ : m_.scratch_.nowhere(piece.addr));
    return -1;
  }
  // The next call must not be laid out over what the kernel still sends when this one is over.
  const uint8_t* bytes =
      zero_copy_ ? nullptr : split_.in_place(piece.addr, piece.len, abi::kWindowIn);
  point(piece, bytes ? bytes : place(piece, abi::kWindowIn, false, 0).bytes);
  return -1;
}

int32_t Marshal::Layout::output(const abi::Piece& piece) {
  const Give give = give_of(piece);
  Placed placed{};
  bool in_place = false;
  if (piece.dir & abi::kWindowIn) {
    placed = place(piece, piece.dir, give == Give::kChanged, 0);
  } else if (truncates_ && (give == Give::kResult || give == Give::kVector)) {
    placed = place(piece, abi::kWindowInOut, true, 0);
  } else {
    // What an ioctl writes is known only from its number, and it may write less. Then the rest is
    // zeros, never leftovers.
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

// Buffers of a vector may overlap, and then the later one wins. Vectors mostly ascend, so one
// comparison is usually enough.
void Marshal::Layout::watch_for_overlap(const abi::Piece& piece) {
  const uint64_t start = piece.addr, end = piece.addr + piece.len;
  if (start < m_.high_ && end > m_.low_) {
    for (uint32_t i = 0; i < m_.count_ && !m_.overlap_; i++) {
      const Note& other = m_.notes_[i];
      m_.overlap_ =
          other.give == Give::kVector && start < other.client + other.len && end > other.client;
    }
  }
  if (m_.high_ == 0 || start < m_.low_) m_.low_ = start;
  if (end > m_.high_) m_.high_ = end;
}

Marshal::Give Marshal::Layout::give_of(const abi::Piece& piece) const {
  if (!(piece.dir & abi::kWindowOut)) return Give::kNothing;
  if (stride_of_message(piece) != 0 && piece.wrote == Wrote::kMsg) {
    if (piece.parent < 0)
      return stride_of_message(piece) == kMmsghdrBytes ? Give::kHeaders : Give::kHeader;
    return piece.len_slot == 0 ? Give::kName : Give::kControl;
  }
  switch (piece.wrote) {
    case Wrote::kAll:
      return Give::kAll;
    case Wrote::kResult:
      return Give::kResult;
    case Wrote::kUnits:
      return Give::kUnits;
    case Wrote::kVector:
      return Give::kVector;
    case Wrote::kSockLen:
      return Give::kSockLen;
    case Wrote::kChanged:
      break;
    case Wrote::kMsg:
      return Give::kNothing;
  }
  if (piece.dir & abi::kWindowIn) return Give::kChanged;
  const bool ifconf = kind_of(piece) == Kind::kIoctl && piece.parent >= 0 &&
                      abi::ioctl_shape(static_cast<uint32_t>(args_[1])).nested == Nested::kIfconf;
  return ifconf ? Give::kIfconf : Give::kAll;
}

// Copies the piece in, beginning with the bytes that the walker has seen already.
uint64_t Marshal::Layout::fill(const abi::Piece& piece, uint8_t* to) {
  if (piece.addr != peek_addr_ || piece.len < sizeof peek_)
    return split_.copy_in(to, piece.addr, piece.len);
  store(to, peek_);
  const uint64_t rest = piece.len - sizeof peek_;
  return sizeof peek_ +
         (rest == 0 ? 0 : split_.copy_in(to + sizeof peek_, piece.addr + sizeof peek_, rest));
}

// For pieces that the kernel reads, and perhaps writes. The saved copy lies before the live one: if
// the kernel writes more than the table says, it hits nothing.
Marshal::Layout::Placed Marshal::Layout::place(const abi::Piece& piece, uint32_t dir, bool save,
                                               uint32_t tail) {
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
    uint8_t* const live = scratch.alloc(readable + tail);
    if (!live) return bad;
    std::memcpy(live, first, readable);
    std::memset(live + readable, 0, tail);
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

int32_t Marshal::Layout::note(const abi::Piece& piece, const Placed& placed, Give give,
                              bool in_place) {
  if (m_.count_ == kMaxNotes) {
    point(piece, m_.scratch_.nowhere(piece.addr));
    end_messages_at(piece.index);
    return abi::Walk<Layout, Layout>::kStop;
  }
  m_.notes_[m_.count_] = {piece.addr,  placed.valid, placed.bytes, placed.saved,
                          piece.index, give,         piece.arg,    in_place};
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

}  // namespace mino
