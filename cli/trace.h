// SPDX-License-Identifier: Apache-2.0
//
// Prints trace records as lines for people, in strace's manner. Used by `mino run --trace`. A
// record may hold anything, because a traced program can write to the socket itself. So nothing in
// it may be trusted, and control characters are escaped.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "abi/trace.h"

namespace mino {

struct TraceRecord {
  struct Piece {
    abi::TracePiece about;
    std::span<const uint8_t> bytes;  // about.kept of them, within the record
  };
  abi::TraceHeader header;
  std::vector<Piece> pieces;
  bool cut = false;  // there was more than fits in the record

  // Returns nothing if the bytes are not a record. The pieces refer to `bytes`.
  static std::optional<TraceRecord> parse(std::span<const uint8_t> bytes);
};

// One line without its line end; "" if the bytes are not a record.
std::string trace_line(std::span<const uint8_t> record);

}  // namespace mino
