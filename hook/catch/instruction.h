// SPDX-License-Identifier: Apache-2.0
//
// How long x86-64 instructions are: enough to find where they begin. (Intel SDM volume 2, chapter 2
// and appendix A; a test holds it against Zydis over whole libraries.)
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline constexpr u32 kMaxInstructionBytes = 15;

// Bytes of the instruction at p, which ends before `end`; 0 if it is none, or one that programs do
// not have: privileged, far, or of an extension that is not known here.
u32 instruction_length(const u8* p, const u8* end);

}  // namespace mino::hook
