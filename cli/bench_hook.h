// SPDX-License-Identifier: Apache-2.0
//
// `mino bench hook`: what the hook costs real programs whose calls all stay on the host. Used by
// main(). Each program (cli/workload.h) runs natively and, in alternation, under `mino run` with a
// policy that routes nothing. The figure is the ratio of their throughputs, round by round. No call
// may be offloaded here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/run_dir.h"

namespace mino {

struct BenchHookOptions {
  bool json = false;
  int64_t rounds = 7;
  std::string tier = "auto";
  std::vector<std::string> only;  // names of workloads; empty: all
};

int bench_hook(const RunDir& dir, const BenchHookOptions& options);

}  // namespace mino
