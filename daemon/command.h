// SPDX-License-Identifier: Apache-2.0
//
// Runs a system tool to its end. Used by daemon/nat for nft(8). It forks, so a process with several
// threads must not call it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace mino {

// Feeds `input` to the program and waits for it, for at most ten seconds. If the program is
// missing, the error code is ENOENT. The text of any other failure holds what the program printed.
Result<void> run_command(const std::vector<std::string>& argv, const std::string& input);

}  // namespace mino
