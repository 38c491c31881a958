// SPDX-License-Identifier: Apache-2.0
//
// Prints the figures of `mino bench call` for people. Used by cli/bench_call. It computes no
// figures of its own.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace mino {

// `report` is what `bench call --json` prints.
void print_bench_table(const nlohmann::json& report);

}  // namespace mino
