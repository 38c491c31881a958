// SPDX-License-Identifier: Apache-2.0
//
// The lengths of x86-64 instructions: enough to find where each begins. Used by the scan. Sources:
// Intel SDM volume 2, chapter 2 and appendix A; a test compares it with Zydis over whole libraries.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline constexpr u32 kMaxInstructionBytes = 15;

// The length of the instruction at p, which must end before `end`. 0 if there is none, or one that
// programs do not use: privileged, far, or of an unknown extension.
u32 instruction_length(const u8* p, const u8* end);

}  // namespace mino::hook
