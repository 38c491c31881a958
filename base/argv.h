// SPDX-License-Identifier: Apache-2.0
//
// A program's arguments as execv(3) takes them. Used wherever mino becomes another program.
#pragma once

#include <string>
#include <vector>

namespace mino {

// Points into `arguments`, which must outlive it; ends with nullptr.
inline std::vector<char*> argv_of(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

}  // namespace mino
