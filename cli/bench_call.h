// SPDX-License-Identifier: Apache-2.0
//
// `mino bench call`: what an offloaded call costs against the same call made locally. Used by
// main(). Every figure comes from samples that alternate between the two within one run, so that a
// noisy machine disturbs both alike. Children (cli/bench_child.h) take the samples, running
// natively or under `mino run`; this process must never take one itself.
#pragma once

#include <cstdint>
#include <string>

#include "base/run_dir.h"

namespace mino {

struct BenchCallOptions {
  bool json = false;
  int64_t iterations = 21;  // samples per figure
  std::string beside;       // run directory of a second device, measured in the same rounds
};

int bench_call(const RunDir& dir, const BenchCallOptions& options);

}  // namespace mino
