// SPDX-License-Identifier: Apache-2.0
//
// Trace records: what the hook tells `mino run --trace` about each offloaded call that has
// finished. One record is one datagram on an AF_UNIX SOCK_SEQPACKET socket. Written by hook/,
// decoded by cli/trace.cc, which trusts nothing in it: any process of the traced program may write
// anything there.
//
//   offset        content
//   0             TraceHeader (96 bytes)
//   96            piece 0: TracePiece (16 bytes), then its `kept` bytes, without padding
//   …             piece 1, and so on: header.piece_count pieces, in the order of abi/walk.h
//
// Numbers are in the byte order of the host (the record never leaves the machine). A record ends
// where the last piece ends. A piece that would not fit into kMaxTraceRecord is left out, with all
// that follow it, and kTraceCut is set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mino::abi {

inline constexpr uint32_t kTraceMagic = 0x5443524d;  // "MRCT"
inline constexpr uint32_t kMaxTraceRecord = 4096;    // bytes of one record
inline constexpr uint32_t kMaxTraceKept = 64;        // bytes of client memory kept of one piece

enum TraceFlags : uint16_t {
  kTraceCut = 1,  // not all pieces fitted
};

struct TraceHeader {
  uint32_t magic;        // 0: kTraceMagic
  uint32_t pid;          // 4
  uint32_t tid;          // 8
  uint32_t nr;           // 12: system call
  int64_t result;        // 16: as the program sees it: a value, or -errno
  uint64_t start_ns;     // 24: CLOCK_MONOTONIC when the call began
  uint32_t duration_ns;  // 32: cut to 2^32 - 1
  uint16_t round_trips;  // 36: request/reply pairs of this call, upcalls not included
  uint16_t upcalls;      // 38
  uint64_t args[6];      // 40: the registers as they were at the start
  uint16_t piece_count;  // 88
  uint16_t flags;        // 90: TraceFlags
  uint32_t reserved;     // 92: 0
};
static_assert(sizeof(TraceHeader) == 96 && offsetof(TraceHeader, args) == 40 &&
              offsetof(TraceHeader, piece_count) == 88);

// A piece of client memory as it was when the call had finished.
struct TracePiece {
  uint64_t addr;  // 0
  uint32_t len;   // 8: its real length
  uint16_t kept;  // 12: bytes that follow, kMaxTraceKept at most
  uint8_t arg;    // 14: the argument that it belongs to
  uint8_t dir;    // 15: bits 1 the kernel reads it, 2 the kernel writes it
};
static_assert(sizeof(TracePiece) == 16);

}  // namespace mino::abi
