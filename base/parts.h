// SPDX-License-Identifier: Apache-2.0
//
// The files that mino consists of at run time, and where they lie. The programs run from the build
// tree, where all files lie side by side, and from below any prefix that `cmake --install` was
// given, even after it has been moved. So the search starts from the executable that asks
// (/proc/self/exe). Used by cli/ and daemon/. Never looks at an environment variable, at $PATH or
// at the build tree's name.
#pragma once

#include <string>

#include "base/error.h"

namespace mino {

enum class Part {
  kMino,         // the command line
  kMinod,        // the device
  kHook,         // libminoc.so
  kPreloadHook,  // libminoc-preload.so, for --hook preload
  kKernel,       // of the linux engine: the executable that kernel/build.sh makes
};

// The part's path. The error names the file, each place that was searched, and the remedy.
Result<std::string> find_part(Part part);

// The same, for a program that lies in `directory` (absolute).
Result<std::string> find_part(Part part, const std::string& directory);

}  // namespace mino
