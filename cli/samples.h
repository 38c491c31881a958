// SPDX-License-Identifier: Apache-2.0
//
// The samples of one figure of `mino bench`, in the order of the rounds, and their summary. Used by
// cli/bench_call and cli/bench_hook.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace mino {

struct Samples {
  std::vector<double> values;

  double median() const;
  double least() const;
  nlohmann::json summary() const;  // median, q1, q3, min, max, samples
};

// Combined round by round, so that a disturbance in one round affects both numbers.
Samples ratio(const Samples& a, const Samples& b);
Samples sum(const Samples& a, const Samples& b);
Samples excess(const Samples& a, const Samples& b);

}  // namespace mino
