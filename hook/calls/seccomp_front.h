// SPDX-License-Identifier: Apache-2.0
//
// What goes in front of a program's seccomp filter: it lets the hook's own calls pass, by where
// they are made and which they are. Those by which it speaks with the device and looks after
// itself; none that opens a file, connects or executes anything. The program's calls that stay on
// the host are made by one instruction, mino_local_syscall, which is left to its filter.
#pragma once

#include "hook/state/bpf.h"

namespace mino::hook {

inline constexpr u32 kMaxFront = 100;  // instructions

struct Text {
  u64 begin, end;  // of the library's instructions, data in front of them included
  u64 local;       // mino_local_syscall
};

// Writes the front for `text`, and for a copy of it that begins at `home` (hook/start/home.h), whose
// lower half is that of `text.begin`; the number of instructions.
u32 write_front(sock_filter* to, const Text& text, u64 home);

}  // namespace mino::hook
