// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: the decoder of trace records. Any process of a traced program can send these bytes.

#include <cstdio>
#include <cstdlib>

#include "cli/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string line = mino::trace_line({data, size});
  for (const char c : line) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7f) {  // a terminal would obey these
      std::fprintf(stderr, "control character %#x in: %s\n", byte, line.c_str());
      std::abort();
    }
  }
  return 0;
}
