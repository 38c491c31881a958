// SPDX-License-Identifier: Apache-2.0
//
// `mino run --trace`: the process that stays behind, receives a record for each finished offloaded
// call (abi/trace.h), prints a line for each, and ends as the program ends. Used by cli/run. It
// must not disturb the program, whose signals it passes on.
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/fd.h"

namespace mino {

class TraceRun {
 public:
  static Result<TraceRun> start();

  // Forks. Only the child returns, to become the program. The parent does not return: it prints
  // until the program and all that it started have ended.
  void fork_tracer();

  // The program's end of the socket. Its number is high, so that programs that count on low numbers
  // are not surprised. It is not close-on-exec: the hook passes it on.
  int program_end() const { return program_end_; }

 private:
  [[noreturn]] void follow(pid_t program);

  Fd tracer_end_;
  int program_end_ = -1;
};

}  // namespace mino
