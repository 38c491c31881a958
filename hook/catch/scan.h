// SPDX-License-Identifier: Apache-2.0
//
// Looking through text: which pairs of bytes that could be a system call are one. Changes nothing.
#pragma once

#include "hook/catch/image.h"

namespace mino::hook {

enum class Verdict {
  kNone,         // they lie within another instruction
  kInstruction,  // a `syscall` that can be rewritten
  kUnclear,      // anything else, also `sysenter` and `int $0x80`
};

// The bytes at `at`, which are 0f 05, 0f 34 or cd 80. `begins`: bit n says that an instruction is
// known to begin n bytes before.
Verdict judge(const Image& image, u64 at, u32& begins);

}  // namespace mino::hook
