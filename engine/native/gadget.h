// SPDX-License-Identifier: Apache-2.0
//
// The only place where a client's system call is executed in such a way that it can be interrupted,
// and that the kernel's decision about restarting it can be seen. Used by execute.cc and root.cc
// (calls), lane.cc, running_call.cc and setup.cc (the signal). The interrupting signal belongs to
// mino alone. Its handler must touch nothing but the interrupted registers.
#pragma once

#include <csignal>
#include <cstdint>

namespace mino {

// What mino_gadget() returns if the kernel undid the call in order to restart it after the signal:
// nothing has happened. It lies outside [-4095, -1] and is no result of any call.
inline constexpr int64_t kUndone = INT64_MIN + 1;

// A real-time signal that no library uses, sent with tgkill() to lane threads only.
int interrupt_signal();

// Once per process, before any lane thread runs.
bool install_interrupt_handler();

extern "C" int64_t mino_gadget(uint64_t nr, const uint64_t args[6]);

}  // namespace mino
