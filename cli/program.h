// SPDX-License-Identifier: Apache-2.0
//
// Finds the program that `mino run` is to start, and reads its file to tell whether the loader will
// take libminoc.so in. Used by cli/run. It must only read files. Its answer is a forecast: the
// loader decides.
#pragma once

#include <optional>
#include <string>

namespace mino {

struct Program {
  std::string path;     // what to execute; empty: see status
  int status = 0;       // 126 or 127 when there is nothing to execute
  std::string problem;  // the reason, for the user
};

// Searches as execvp(3) does.
Program find_program(const std::string& name);

// A program that libminoc.so loads in its own place, because ld.so would not bring the hook into
// it.
struct Loading {
  std::string program;   // the file to load: the program, or a script's interpreter
  std::string argument;  // what follows the interpreter in the script's first line
  bool script;
};
// `all`: also programs that ld.so starts. Returns nothing if the kernel is to start the program, as
// in hook/start/program_file.h.
std::optional<Loading> needs_loading(const std::string& path, bool all);

// Why system calls of this program will not be offloaded, as the end of a sentence that starts with
// the program's name ("changes its privileges …"); "" when they will be. Follows #! to the
// interpreter. `hook` is the tier.
std::string obstacle(const std::string& path, const std::string& hook);

}  // namespace mino
