// SPDX-License-Identifier: Apache-2.0
//
// The environment across exec, and the arguments of a script. The program never sees
// LD_PRELOAD=libminoc.so and MINO_RUN: they are removed at startup, for the kernel's eyes too
// (hook/start/shown_environment.h). At every execve they are put back, whatever environment the
// program passes. The program's own LD_PRELOAD comes through as it is: see abi/run_variable.h.
#pragma once

#include "hook/start/program_file.h"
#include "hook/state/process.h"

namespace mino::hook {

// Descriptors that the previous program left for this one, or -1.
struct Inherited {
  int socket = -1, placeholder = -1, broken = -1;  // the session's
  int filters = -1;                                // hook/calls/seccomp.h
  bool directory = false;                          // the working directory is on the device
  static constexpr u32 kMaxRemoved = 8;
  const char* removed[kMaxRemoved];  // the hook's variables, where the kernel has put them
  u32 removed_count = 0;
};

// Reads MINO_RUN into `settings`, and removes the hook's variables from envp (in place). Whether
// the program runs under mino.
bool read_environment(char** envp, Inherited& inherited);

// The environment, and for a script the arguments, of the program that an execve starts. Its memory
// is unmapped by the destructor, or by the parent of a vfork child (Process::exec_memory).
class ExecEnvironment {
 public:
  // `file` is what libminoc.so, executed in its place, must load; nullptr if the kernel starts the
  // program itself. `path` and `argv` are what execve was given; `filters` is the memfd of this
  // thread's seccomp filters, or -1.
  ExecEnvironment(Process* process, u64 envp, const ProgramFile* file, const char* path, u64 argv,
                  int filters);
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
