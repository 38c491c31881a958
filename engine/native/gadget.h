// SPDX-License-Identifier: Apache-2.0
//
// The one place where a client's system call is executed such that it can be interrupted and the
// kernel's decision about restarting it be seen. Used by lane.cc. The interrupting signal is ours
// alone; its handler touches nothing but the interrupted registers.
#pragma once

#include <csignal>
#include <cstdint>

namespace mino {

// What mino_gadget() returns when the kernel undid the call in order to restart it after the
// signal: nothing has happened. Outside [-4095, -1] and every result.
inline constexpr int64_t kUndone = INT64_MIN + 1;

// A real-time signal that no library uses, sent with tgkill() to lane threads only.
int interrupt_signal();

// Once per process, before any lane thread runs.
bool install_interrupt_handler();

extern "C" int64_t mino_gadget(uint64_t nr, const uint64_t args[6]);

}  // namespace mino
