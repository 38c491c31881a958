// SPDX-License-Identifier: Apache-2.0
//
// Walks the client memory that one system call refers to, as its row describes it, and reports it
// piece by piece. hook/ turns the pieces into windows, engine/native/ into buffers of its own. The
// walker reads client memory only through the `Reader` it is given, never follows anything twice,
// and bounds every count: both the registers and the memory may be hostile, or change while it
// runs.
//
//   Reader:  bool read(uint64_t addr, void* to, uint32_t bytes)     exact, false on a bad address
//            int64_t string(uint64_t addr, uint32_t max)            bytes including the NUL, or < 0
//   Sink:    int32_t piece(const Piece&)                            a handle for `parent`, or kStop
//
// Order: a parent comes before its children, so that its copy exists when a child's pointer is
// patched in.
#pragma once

#include <cstdint>

#include "abi/ioctl.h"
#include "abi/limits.h"
#include "abi/shape.h"

namespace mino::abi {

struct Piece {
  uint64_t addr = 0;  // client address, never 0
  uint64_t len = 0;   // bytes, already clipped; may be 0
  uint32_t dir = 0;   // WindowDir bits: 1 the kernel reads it, 2 the kernel writes it
  Wrote wrote = Wrote::kAll;
  int32_t parent = -1;    // handle of the piece that holds the pointer, or -1: argument `slot`
  uint32_t slot = 0;      // argument index, or byte offset of the pointer in the parent
  uint32_t len_slot = 0;  // with a parent: offset of the (8-byte) length beside it, 0 if none
  uint8_t arg = 0;        // the argument that this piece belongs to
  uint32_t index = 0;     // message number within an mmsghdr array
  uint64_t asked = 0;     // the length before clipping
};

template <class Reader, class Sink>
class Walk {
 public:
  static constexpr int32_t kStop = -2;

  Walk(const Row& row, const uint64_t* args, Reader& reader, Sink& sink)
      : row_(row), args_(args), reader_(reader), sink_(sink) {}

  // False when the sink had enough.
  bool run() {
    for (uint8_t i = 0; i < 6; i++) {
      // Most arguments are numbers; they must not cost an indirect jump each.
      if (row_.args[i].kind > Kind::kFd && !walk_arg(i)) return false;
    }
    return true;
  }

 private:
  static constexpr uint32_t kIn = 1, kOut = 2;
  static constexpr uint32_t kSockaddrMax = 128;  // sizeof(struct sockaddr_storage)
  static constexpr uint64_t kReserved = 1u << 20, kSmall = kMaxPath;

  static uint64_t clip(uint64_t n, uint64_t max) { return n < max ? n : max; }

  int32_t emit(Piece piece) {
    if (piece.addr == 0) return -1;
    piece.asked = piece.len;
    // A huge buffer leaves room for the small structures that come after it.
    const uint64_t limit = piece.len > kSmall ? kMaxCallBytes - kReserved : kMaxCallBytes;
    piece.len = clip(piece.len, limit > total_ ? limit - total_ : 0);
    total_ += piece.len;
    return sink_.piece(piece);
  }

  uint32_t direction(Kind kind) const {
    switch (kind) {
      case Kind::kIn:
      case Kind::kOptIn:
        return kIn;
      case Kind::kOut:
        return kOut;
      default:
        return kIn | kOut;
    }
  }

  bool walk_arg(uint8_t i) {
    const Arg& arg = row_.args[i];
    const uint64_t addr = args_[i];
    switch (arg.kind) {
      case Kind::kNone:
      case Kind::kValue:
      case Kind::kFd:
      case Kind::kSigmask:
      case Kind::kHost:
        return true;
      case Kind::kPath:
      case Kind::kString:
        return path(i, addr);
      case Kind::kIn:
      case Kind::kOut:
      case Kind::kInOut:
        return plain(i, arg, addr);
      case Kind::kOptIn:
        return option(i, arg, addr);
      case Kind::kIovIn:
      case Kind::kIovOut:
        return top_vector(i, arg, addr);
      case Kind::kMsgIn:
      case Kind::kMsgOut:
        return addr == 0 || message(i, addr, arg.kind == Kind::kMsgOut, -1, i, 0, 0);
      case Kind::kMmsgIn:
      case Kind::kMmsgOut:
        return messages(i, arg, addr);
      case Kind::kFdSet: {
        const uint64_t bits = args_[arg.len.arg];
        if (int64_t{static_cast<int32_t>(bits)} < 0) return true;
        return top(i, addr, (clip(bits, kMaxFd) + 63) / 64 * 8, kIn | kOut, arg.wrote) != kStop;
      }
      case Kind::kIoctl:
        return shaped(i, addr, ioctl_shape(static_cast<uint32_t>(args_[1])));
      case Kind::kFcntl:
        return shaped(i, addr, fcntl_shape(static_cast<uint32_t>(args_[1])));
    }
    return true;
  }

  int32_t top(uint8_t i, uint64_t addr, uint64_t len, uint32_t dir, Wrote wrote) {
    Piece piece;
    piece.addr = addr;
    piece.len = len;
    piece.dir = dir;
    piece.wrote = wrote;
    piece.slot = i;
    piece.arg = i;
    return emit(piece);
  }

  bool path(uint8_t i, uint64_t addr) {
    if (addr == 0) return true;
    int64_t len = reader_.string(addr, kMaxPath);
    // A bad or endless string is still a piece, of one byte or of the longest length. The engine
    // fails on it.
    if (len < 0) len = 1;
    return top(i, addr, static_cast<uint64_t>(len), kIn, Wrote::kAll) != kStop;
  }

  bool plain(uint8_t i, const Arg& arg, uint64_t addr) {
    if (addr == 0) return true;
    uint64_t len = arg.len.unit;
    if (arg.len.how == Len::kArg) {
      const uint64_t count = args_[arg.len.arg];
      // The kernel takes socket lengths and event counts as ints. Negative ones are its EINVAL, and
      // refer to no memory.
      const bool is_int = arg.print == Print::kSockaddr || arg.len.unit > 1;
      if (is_int && int64_t{static_cast<int32_t>(count)} < 0) return true;
      len = clip(is_int ? count & 0x7fffffff : count, kMaxCallBytes) * arg.len.unit;
      if (arg.print == Print::kSockaddr) len = clip(len, kSockaddrMax);
    } else if (arg.len.how == Len::kSockLen) {
      int32_t size = 0;
      const uint64_t pointer = args_[arg.len.arg];
      if (pointer == 0 || !reader_.read(pointer, &size, 4) || size < 0) return true;
      len = static_cast<uint32_t>(size);
      if (arg.print == Print::kSockaddr) len = clip(len, kSockaddrMax);
      if (arg.print == Print::kOptValue) len *= getsockopt_unit(args_[1], args_[2]);
    }
    return top(i, addr, len, direction(arg.kind), arg.wrote) != kStop;
  }

  bool nested(uint8_t i, int32_t parent, uint64_t addr, uint64_t len, uint32_t dir, uint32_t slot) {
    Piece piece;
    piece.addr = addr;
    piece.len = len;
    piece.dir = dir;
    piece.wrote = Wrote::kChanged;
    piece.parent = parent;
    piece.slot = slot;
    piece.arg = i;
    return emit(piece) != kStop;
  }

  bool filter(uint8_t i, int32_t parent, uint64_t addr) {
    struct {
      uint16_t len;
      uint16_t pad[3];
      uint64_t filter;
    } program{};
    if (!reader_.read(addr, &program, sizeof program)) return true;
    return nested(i, parent, program.filter, uint64_t{program.len} * 8, kIn, 8);
  }

  bool option(uint8_t i, const Arg& arg, uint64_t addr) {
    const int64_t len = static_cast<int32_t>(args_[arg.len.arg]);
    if (addr == 0 || len < 0) return true;
    const int32_t self = top(i, addr, static_cast<uint64_t>(len), kIn, Wrote::kAll);
    if (self < 0) return self != kStop;
    switch (setsockopt_nested(static_cast<uint32_t>(args_[1]), static_cast<uint32_t>(args_[2]))) {
      case Nested::kFilter:
        return len < 16 || filter(i, self, addr);
      case Nested::kXtReplace: {
        struct {
          uint32_t underflow;
          uint32_t count;
          uint64_t counters;
        } tail{};
        if (len < 96 || !reader_.read(addr + 80, &tail, sizeof tail)) return true;
        return nested(i, self, tail.counters, uint64_t{tail.count} * 16, kOut, 88);
      }
      default:
        return true;
    }
  }

  // An ethtool command says in its first word what it is; these are the sizes of the fixed
  // structures (linux/ethtool.h). Others get one page, and only what changed is written back.
  static uint64_t ethtool_bytes(uint32_t command) {
    switch (command) {
      case 0x01:
      case 0x02:
        return 44;  // GSET, SSET
      case 0x03:
        return 196;  // GDRVINFO
      case 0x0a:
        return 8;  // GLINK
      case 0x0e:
      case 0x0f:
        return 92;  // coalescing
      case 0x10:
      case 0x11:
        return 36;  // ring parameters
      case 0x3c:
      case 0x3d:
        return 36;  // channels
      case 0x41:
        return 44;  // timestamping
      default:
        return 4096;
    }
  }

  bool shaped(uint8_t i, uint64_t addr, const PointerShape& shape) {
    if (!shape.pointer || addr == 0) return true;
    const uint32_t dir = (shape.reads ? kIn : 0) | (shape.writes ? kOut : 0);
    const int32_t self =
        top(i, addr, shape.bytes, dir, shape.writes ? Wrote::kChanged : Wrote::kAll);
    if (self < 0) return self != kStop;
    if (shape.nested == Nested::kIfconf) {
      struct {
        int32_t len;
        int32_t pad;
        uint64_t buf;
      } conf{};
      if (!reader_.read(addr, &conf, sizeof conf) || conf.len <= 0) return true;
      return nested(i, self, conf.buf, static_cast<uint32_t>(conf.len), kOut, 8);
    }
    if (shape.nested == Nested::kEthtool) {
      uint64_t data = 0;
      uint32_t command = 0;
      if (!reader_.read(addr + 16, &data, 8) || data == 0) return true;
      if (!reader_.read(data, &command, 4)) return true;
      return nested(i, self, data, ethtool_bytes(command), kIn | kOut, 16);
    }
    if (shape.nested == Nested::kFilter) return filter(i, self, addr);
    if (shape.nested == Nested::kIfrData) {
      constexpr uint64_t kLargest = 76;  // struct ip6_tnl_parm2
      uint64_t data = 0;
      if (!reader_.read(addr + 16, &data, 8)) return true;
      return nested(i, self, data, kLargest, kIn | kOut, 16);
    }
    if (shape.nested == Nested::kRouteDevice) {
      constexpr uint64_t kNameBytes = 15;  // IFNAMSIZ - 1, as ip_rt_ioctl() reads it
      uint64_t name = 0;
      if (!reader_.read(addr + 88, &name, 8)) return true;
      return nested(i, self, name, kNameBytes, kIn, 88);
    }
    return true;
  }

  bool top_vector(uint8_t i, const Arg& arg, uint64_t addr) {
    const uint64_t count = args_[arg.len.arg];
    if (addr == 0 || count == 0 || count > kMaxIov) return true;
    const int32_t self = top(i, addr, count * 16, kIn, Wrote::kAll);
    if (self < 0) return self != kStop;
    return vector(i, addr, count, arg.kind == Kind::kIovOut ? kOut : kIn, self, 0);
  }

  bool vector(uint8_t i, uint64_t addr, uint64_t count, uint32_t dir, int32_t parent,
              uint32_t index) {
    struct Iov {
      uint64_t base, len;
    };
    Iov chunk[16];
    for (uint64_t at = 0; at < count; at += 16) {
      const uint64_t n = clip(count - at, 16);
      if (!reader_.read(addr + at * 16, chunk, static_cast<uint32_t>(n * 16))) return true;
      for (uint64_t k = 0; k < n; k++) {
        if (chunk[k].base == 0 || static_cast<int64_t>(chunk[k].len) <= 0) continue;
        Piece piece;
        piece.addr = chunk[k].base;
        piece.len = chunk[k].len;
        piece.dir = dir;
        piece.wrote = dir == kOut ? Wrote::kVector : Wrote::kAll;
        piece.parent = parent;
        piece.slot = static_cast<uint32_t>((at + k) * 16);
        piece.len_slot = piece.slot + 8;
        piece.arg = i;
        piece.index = index;
        if (emit(piece) == kStop) return false;
      }
    }
    return true;
  }

  // Offsets in struct msghdr (56 bytes): name 0, namelen 8, iov 16, iovlen 24, control 32,
  // controllen 40, flags 48.
  bool message(uint8_t i, uint64_t addr, bool receives, int32_t array, uint32_t slot, uint32_t base,
               uint32_t index) {
    struct {
      uint64_t name;
      int32_t namelen;
      int32_t pad;
      uint64_t iov, iovlen, control, controllen;
    } m{};
    int32_t self = array;
    if (array < 0) {
      self = top(static_cast<uint8_t>(slot), addr, 56, receives ? kIn | kOut : kIn,
                 receives ? Wrote::kMsg : Wrote::kAll);
      if (self < 0) return self != kStop;
    }
    if (!reader_.read(addr, &m, 48)) return true;
    Piece piece;
    piece.parent = self;
    piece.arg = i;
    piece.index = index;
    piece.dir = receives ? kOut : kIn;
    piece.wrote = receives ? Wrote::kMsg : Wrote::kAll;
    if (m.name != 0 && m.namelen > 0) {
      piece.addr = m.name;
      piece.len = clip(static_cast<uint32_t>(m.namelen), kSockaddrMax);
      piece.slot = base;
      if (emit(piece) == kStop) return false;
    }
    // A sender's controllen above INT_MAX is ENOBUFS; a receiver's is taken as it is.
    if (m.control != 0 && m.controllen != 0 && (receives || m.controllen <= 0x7fffffff)) {
      piece.addr = m.control;
      piece.len = clip(m.controllen, 1u << 20);
      piece.slot = base + 32;
      piece.len_slot = base + 40;
      if (emit(piece) == kStop) return false;
    }
    if (m.iov == 0 || m.iovlen == 0 || m.iovlen > kMaxIov) return true;
    Piece array_piece;
    array_piece.addr = m.iov;
    array_piece.len = m.iovlen * 16;
    array_piece.dir = kIn;
    array_piece.parent = self;
    array_piece.slot = base + 16;
    array_piece.arg = i;
    array_piece.index = index;
    const int32_t vec = emit(array_piece);
    if (vec < 0) return vec != kStop;
    return vector(i, m.iov, m.iovlen, receives ? kOut : kIn, vec, index);
  }

  bool messages(uint8_t i, const Arg& arg, uint64_t addr) {
    const uint64_t count = clip(args_[arg.len.arg] & 0xffffffff, kMaxIov);
    if (addr == 0 || count == 0) return true;
    const bool receives = arg.kind == Kind::kMmsgOut;
    const int32_t self = top(i, addr, count * 64, kIn | kOut, Wrote::kMsg);
    if (self < 0) return self != kStop;
    for (uint32_t k = 0; k < count; k++) {
      if (!message(i, addr + k * 64, receives, self, 0, k * 64, k)) return false;
    }
    return true;
  }

  const Row& row_;
  const uint64_t* args_;
  Reader& reader_;
  Sink& sink_;
  uint64_t total_ = 0;
};

template <class Reader, class Sink>
bool walk(const Row& row, const uint64_t* args, Reader& reader, Sink& sink) {
  return Walk<Reader, Sink>(row, args, reader, sink).run();
}

}  // namespace mino::abi
