// SPDX-License-Identifier: Apache-2.0
//
// The environment across exec, and the arguments of a script. The program never sees
// LD_PRELOAD=libminoc.so and MINO_RUN: they are taken out at start. At every execve they are put
// back, whatever environment the program passes.
#pragma once

#include "hook/process.h"
#include "hook/program_file.h"

namespace mino::hook {

// Reads MINO_RUN into `settings`, and removes the hook's traces from envp (in place). Answers
// whether we run under mino; `socket` and `placeholder` are the inherited session's, or -1.
bool read_environment(char** envp, int* socket, int* placeholder);

class ExecEnvironment {
 public:
  // `file`: what libminoc.so, executed in its place, shall load; or nullptr. `path` and `argv` are
  // what execve was given.
  ExecEnvironment(Process* process, u64 envp, const ProgramFile* file, const char* path, u64 argv);
  ~ExecEnvironment();
  ExecEnvironment(const ExecEnvironment&) = delete;
  ExecEnvironment& operator=(const ExecEnvironment&) = delete;
  bool valid() const { return table_ != nullptr; }
  u64 pointer() const { return ptr(table_); }
  u64 arguments() const { return arguments_; }

 private:
  Process* process_;
  u64* table_ = nullptr;
  u64 arguments_;
  u64 bytes_ = 0;
};

}  // namespace mino::hook
