// SPDX-License-Identifier: Apache-2.0
//
// Programs as execve finds them: which of them ld.so will not bring the hook into, so that the hook
// has to load them itself (hook/start/load.cc).
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline constexpr u64 kMaxProgramPath = 4096;

struct ProgramFile {
  char path[kMaxProgramPath];  // the program to load, as execve would be given it
  char argument[256];          // of a script: what follows the interpreter in its first line, or ""
  bool script;                 // the program is a script's interpreter
};

// True if `path` is, or is a script for, a static program (with `all`: any x86-64 program) that
// this user may execute, and that runs with the user's rights: then `file` says what to load.
// False: the kernel shall start it, or say what is wrong with it.
bool needs_loading(const char* path, bool all, ProgramFile& file);

// A program in memory.
struct LoadedProgram {
  u64 start;    // the address to jump to: the program's, or its interpreter's
  u64 entry;    // the program's own
  u64 headers;  // its program headers, mapped
  u64 header_count;
  u64 interpreter;  // where ld.so lies, or 0
};

// Maps the program, and its interpreter if it names one; 0 or the error.
long load_program(const char* path, LoadedProgram& loaded);

// Maps the library at `path` once more, at `base`; `mapped` is where it is already, whose headers
// are read instead of the file's. 0 or the error.
long map_again(const char* path, const void* mapped, u64 base);

}  // namespace mino::hook
