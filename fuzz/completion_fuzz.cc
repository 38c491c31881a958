// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: the client's decoder of completions. A device can put anything into the ring.
#include "abi/decode.h"
#include "fuzz/input.h"

using namespace mino;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  static abi::Completion slot;
  static abi::CheckedCompletion checked;
  uint32_t arena_bytes = input.take<uint32_t>() & ~4095u;
  if (arena_bytes < abi::kMinArenaBytes) arena_bytes = abi::kMinArenaBytes;
  if (arena_bytes > abi::kMaxArenaBytes) arena_bytes = abi::kMaxArenaBytes;
  input.bytes(static_cast<void*>(&slot), sizeof slot);
  if (!abi::decode_completion(slot, arena_bytes, checked)) return 0;
  REQUIRE(checked.extent_count <= abi::kMaxExtents);
  REQUIRE(checked.kind >= abi::CompletionKind::kDone &&
          checked.kind <= abi::CompletionKind::kUpcallProbe);
  REQUIRE(checked.kind == abi::CompletionKind::kDone || checked.extent_count == 1);
  for (uint16_t i = 0; i < checked.extent_count; i++) {
    const abi::Extent& extent = checked.extents[i];
    REQUIRE(extent.addr + extent.len >= extent.addr);
    REQUIRE(checked.kind == abi::CompletionKind::kUpcallProbe ||
            uint64_t{extent.arena_off} + extent.len <= arena_bytes);
  }
  return 0;
}
