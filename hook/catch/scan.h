// SPDX-License-Identifier: Apache-2.0
//
// Scanning text: which of the byte pairs that could be a system call are one. Used by disarm.cc. It
// changes nothing.
#pragma once

#include "hook/catch/image.h"

namespace mino::hook {

enum class Verdict {
  kNone,         // the bytes are inside another instruction
  kInstruction,  // a `syscall` that can be rewritten
  kUnclear,      // anything else, also `sysenter` and `int $0x80`
};

// Judges the bytes at `at`, which are 0f 05, 0f 34 or cd 80. Bit n of `begins` is set if an
// instruction is known to begin n bytes before them.
Verdict judge(const Image& image, u64 at, u32& begins);

}  // namespace mino::hook
