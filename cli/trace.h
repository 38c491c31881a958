// SPDX-License-Identifier: Apache-2.0
//
// Trace records as lines for people, in strace's manner. Used by `mino run --trace`. The record may
// be anything: a traced program can write to the socket itself, so nothing is believed and control
// characters are escaped.
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
  bool cut = false;  // there was more than the record holds

  // Nothing if it is no record. The pieces refer to `bytes`.
  static std::optional<TraceRecord> parse(std::span<const uint8_t> bytes);
};

// One line without its end; "" for what is no record.
std::string trace_line(std::span<const uint8_t> record);

}  // namespace mino
