// SPDX-License-Identifier: Apache-2.0
//
// `mino bench call`: what an offloaded call costs against the same call made locally. Every figure
// comes from samples that alternate between the two within one run, so that a noisy machine
// disturbs both alike. The samples are taken by children (cli/bench_child.h) which run natively or
// under `mino run`.
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
