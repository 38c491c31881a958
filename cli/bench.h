// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include "base/run_dir.h"
namespace mino {
struct BenchOptions { bool json = false; int iterations = 0; };
inline void add_bench_options(CLI::App&, BenchOptions&) {}
inline void add_bench_child_options(CLI::App&, BenchOptions&) {}
inline int bench_call(const RunDir&, const BenchOptions&) { return 1; }
inline int bench_child(const BenchOptions&) { return 1; }
}
