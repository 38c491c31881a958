// SPDX-License-Identifier: Apache-2.0
//
// A process of `mino bench call` that takes samples (cli/bench_child.h), as seen from the process
// that asks for them. Between commands it waits in a read of a local pipe. Used by cli/bench_call.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace mino {

class MeasuredProcess {
 public:
  // Runs argv and waits until it says that it is ready.
  static Result<MeasuredProcess> start(const std::vector<std::string>& argv);
  MeasuredProcess(MeasuredProcess&& other) noexcept;
  ~MeasuredProcess();

  // One command, one line of numbers.
  Result<std::vector<double>> ask(const std::string& command);
  pid_t pid() const { return pid_; }

 private:
  MeasuredProcess() = default;
  Result<std::string> read_line();

  pid_t pid_ = -1;
  Fd in_, out_;
};

}  // namespace mino
