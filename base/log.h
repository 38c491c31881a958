// SPDX-License-Identifier: Apache-2.0
//
// The log: lines on standard error, through spdlog. Used by daemon/ and engine/; the hook never
// logs this way. Callers use spdlog::info() and the like directly. Nothing that a peer sent may be
// logged unescaped.
#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

namespace mino {

// Call once, before the first line and before any fork. `level`: trace, debug, info, warn, error,
// off.
void start_log(const std::string& level);

bool is_log_level(std::string_view level);

// Whether a line that a peer can provoke may be written now: fifty at once, then one a second, so
// that nobody fills the log. The first line after some were suppressed says how many they were.
bool may_log_about_peers();

}  // namespace mino
