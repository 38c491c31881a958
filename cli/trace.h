// SPDX-License-Identifier: Apache-2.0
//
// Trace records as lines for people, in strace's manner. Used by `mino run --trace`. The record may be anything: a
// traced program can write to the socket itself, so nothing is believed and control characters are escaped.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace mino {

// One line without its end; "" for what is no record.
std::string trace_line(std::span<const uint8_t> record);

}  // namespace mino
