// SPDX-License-Identifier: Apache-2.0
//
// mino's subcommands: one function each, named as the user names them, which returns the exit
// status. main() parses the arguments and calls them. They print results on standard output, and
// must print everything else on standard error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_dir.h"
#include "cli/hand_over.h"

namespace mino {

inline constexpr int kOk = 0, kFailed = 1, kMisused = 2;
// As in env(1): mino itself failed, the program cannot be executed, the program is not there.
inline constexpr int kNotStarted = 125, kNotExecutable = 126, kNotFound = 127;

struct UpOptions {
  std::string engine, transport = "shm", config_file, interface, address, gateway;
  int64_t instances = 0;  // 0: as configured
  bool no_nat = false;
};
int up(const RunDir& dir, const UpOptions& options);
int down(const RunDir& dir);

struct RunOptions {
  std::string hook = "auto", device, policy_file, arena;
  bool trace = false, no_windows = false, load_all = false;
  int64_t instance = -1;  // -1: minod chooses
  int64_t rest_after = kRestAfter;
  std::vector<std::string> command;
};
int run(const RunDir& dir, const RunOptions& options);

int status(const RunDir& dir, bool as_json);
int top(const RunDir& dir, double seconds, std::optional<int> rounds);
int syscalls(bool as_markdown);

// Prints one line on standard error, "mino: …", and returns `status`.
int complain(int status, const std::string& text);

}  // namespace mino
