// SPDX-License-Identifier: Apache-2.0
//
// Real programs that `mino bench hook` runs natively and under `mino run`: nginx under wrk, redis
// under redis-benchmark, make. The program that drives a server is native in both cases. All
// traffic is on the loopback of the host. Used by cli/bench_hook.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace mino {

// Makes a file on the host, or replaces its contents.
Result<void> make_file(const std::string& path, const std::string& content);

class Workload {
 public:
  virtual ~Workload() = default;
  virtual std::string name() const = 0;
  virtual std::string unit() const = 0;
  // The programs that it needs, as they are called in PATH.
  virtual std::vector<std::string> needs() const = 0;
  // The throughput of one run, in `unit`. `prefix` is what the measured program's command line
  // starts with; "" natively. It ends what it started.
  virtual Result<double> run(const std::vector<std::string>& prefix) = 0;
};

// All workloads. They put their files into `scratch`, an empty directory.
std::vector<std::unique_ptr<Workload>> make_workloads(const std::string& scratch);

}  // namespace mino
