// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: the decoder of submissions. A client can put anything into its ring.
#include "abi/decode.h"
#include "fuzz/input.h"

using namespace mino;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  static abi::Submission slot;
  static abi::CheckedSubmission checked;
  uint32_t arena_bytes = input.take<uint32_t>() & ~4095u;
  if (arena_bytes < abi::kMinArenaBytes) arena_bytes = abi::kMinArenaBytes;
  if (arena_bytes > abi::kMaxArenaBytes) arena_bytes = abi::kMaxArenaBytes;
  input.bytes(static_cast<void*>(&slot), sizeof slot);
  if (!abi::decode_submission(slot, arena_bytes, checked)) return 0;
  REQUIRE(checked.window_count <= abi::kMaxWindows);
  for (uint8_t i = 0; i < checked.window_count; i++) {
    const abi::Window& window = checked.windows[i];
    REQUIRE(window.dir() >= 1 && window.dir() <= 3);
    REQUIRE(uint64_t{window.arena_off()} + window.len <= arena_bytes);
    REQUIRE(window.addr + window.len >= window.addr);
  }
  REQUIRE(checked.kind >= abi::SubmissionKind::kCall &&
          checked.kind <= abi::SubmissionKind::kUpcallReply);
  return 0;
}
