// SPDX-License-Identifier: Apache-2.0
//
// The instructions in front of a program's seccomp filter, used by seccomp.cc. They let the hook's
// own calls pass: calls that are made from the hook's text and are on a list. The list has what the
// hook needs to talk to the device and to maintain its state. It must have no call that opens a
// file, connects or executes anything. The program's calls that stay on the host are made by one
// instruction, mino_local_syscall, which the front leaves to the program's filter.
#pragma once

#include "hook/state/bpf.h"

namespace mino::hook {

inline constexpr u32 kMaxFront = 100;  // instructions

struct Text {
  u64 begin, end;  // of the library's text, with the read-only data in front of it
  u64 local;       // mino_local_syscall
};

// Writes the front for `text` and for a copy of it that begins at `home` (hook/start/home.h). The
// lower 32 bits of `home` are those of `text.begin`. Returns the number of instructions.
u32 write_front(sock_filter* to, const Text& text, u64 home);

}  // namespace mino::hook
