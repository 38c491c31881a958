// SPDX-License-Identifier: Apache-2.0
//
// Programs as execve finds them. This file tells into which of them ld.so does not bring the hook,
// and maps those, so that the hook can load them itself (hook/start/load.cc). The kernel must start
// all others.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline constexpr u64 kMaxProgramPath = 4096;

struct ProgramFile {
  char path[kMaxProgramPath];  // the program to load, as execve would get it
  char argument[256];  // for a script: what follows the interpreter in its first line, or ""
  bool script;         // the program is the interpreter of a script
};

// True if the hook must load the program: `path` is a static program, or a script for one, that
// this user may execute and that gains no credentials by exec. With `all`, dynamic x86-64 programs
// count too. `file` then says what to load. False if the kernel must start it, or report what is
// wrong with it.
bool needs_loading(const char* path, bool all, ProgramFile& file);

// A program in memory.
struct LoadedProgram {
  u64 start;    // the entry point to jump to: that of the program or of its interpreter
  u64 entry;    // the program's own entry point
  u64 headers;  // its program headers, mapped
  u64 header_count;
  u64 interpreter;  // where ld.so is mapped, or 0
};

// Maps the program, and its interpreter if it names one. 0 or the error; -EINVAL if its segments
// are none that exec could map.
long load_program(const char* path, LoadedProgram& loaded);

// Maps the library at `path` once more, at `base`. `mapped` is where it is mapped already; the
// headers are read there, not from the file. 0 or the error.
long map_again(const char* path, const void* mapped, u64 base);

}  // namespace mino::hook
