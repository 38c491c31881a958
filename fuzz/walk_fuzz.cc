// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: the walker, for every row of the table, over memory that changes with every read.
#include "abi/syscalls.h"
#include "abi/walk.h"
#include "fuzz/input.h"

using namespace mino;

namespace {

struct Memory {
  Input& input;
  bool read(uint64_t /*addr*/, void* to, uint32_t bytes) {
    REQUIRE(bytes != 0 && bytes <= 256);
    if (input.take<uint8_t>() == 0xff) return false;
    input.bytes(to, bytes);
    return true;
  }
  int64_t string(uint64_t addr, uint32_t max) {
    REQUIRE(addr != 0 && max == abi::kMaxPath);
    const int64_t bytes = input.take<uint16_t>() % (max + 1);
    return bytes == 0 ? -1 : bytes;
  }
};

struct Sink {
  Input& input;
  uint64_t total = 0;
  uint32_t count = 0;
  bool stopped = false;

  int32_t piece(const abi::Piece& piece) {
    REQUIRE(!stopped);
    REQUIRE(piece.addr != 0);
    REQUIRE(piece.dir >= 1 && piece.dir <= 3);
    REQUIRE(piece.len <= piece.asked);
    REQUIRE(piece.arg < 6);
    REQUIRE(piece.index < abi::kMaxIov);
    total += piece.len;
    REQUIRE(total <= abi::kMaxCallBytes);
    if (piece.parent >= 0) {
      REQUIRE(static_cast<uint32_t>(piece.parent) < count);
    } else {
      REQUIRE(piece.slot == piece.arg);
    }
    if (input.take<uint8_t>() == 0xfe) return -1;
    if (input.left() == 0 && ++idle > 5000) {
      stopped = true;
      return -2;
    }
    return static_cast<int32_t>(count++);
  }
  uint32_t idle = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const abi::Row& row = abi::kSyscalls[input.below(abi::kSyscalls.size())];
  uint64_t args[6];
  const uint8_t small = input.take<uint8_t>();
  for (int i = 0; i < 6; i++) {
    args[i] = small >> i & 1 ? input.take<uint16_t>() : input.take<uint64_t>();
  }
  Memory memory{input};
  Sink sink{input};
  REQUIRE(abi::walk(row, args, memory, sink) == !sink.stopped);
  return 0;
}
