// SPDX-License-Identifier: Apache-2.0
//
// The figures of `mino bench call` for people. Used by cli/bench_call.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace mino {

// `report`: what bench call --json prints.
void print_bench_table(const nlohmann::json& report);

}  // namespace mino
