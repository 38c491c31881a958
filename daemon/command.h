// SPDX-License-Identifier: Apache-2.0
//
// Runs a system tool to its end. Used by daemon/nat for nft(8). Single-threaded callers only: it
// forks.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace mino {

// Feeds `input` to the program and waits for it, ten seconds at most. A missing program has code
// ENOENT; any other failure's text holds what the program printed.
Result<void> run_command(const std::vector<std::string>& argv, const std::string& input);

}  // namespace mino
