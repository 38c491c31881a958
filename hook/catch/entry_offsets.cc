// SPDX-License-Identifier: Apache-2.0
//
// Offsets and constants of C++ for the assembly of the hook. This file is compiled but never
// linked: the build reads the lines "->NAME VALUE" in the compiler's output and generates
// entry_offsets.h from them (hook/entry_offsets.cmake).
#include "hook/base/raw.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

#define DEFINE(name, value) asm volatile("\n.ascii \"->" #name " %c0\"" : : "i"(value))

namespace mino::hook {

void offsets() {
  DEFINE(TS_IN_HOOK, offsetof(ThreadState, in_hook));
  DEFINE(TS_DEFERRED, offsetof(ThreadState, deferred));
  DEFINE(TS_STACK, offsetof(ThreadState, stack));
  DEFINE(TS_WINDOW_MASK, offsetof(ThreadState, window_mask));
  DEFINE(TS_RESUME_MASK, offsetof(ThreadState, resume_mask));
  DEFINE(TS_TWIN, offsetof(ThreadState, twin));
  DEFINE(TS_TID, offsetof(ThreadState, tid));
  DEFINE(TS_PROCESS, offsetof(ThreadState, process));
  DEFINE(TS_CALLS_LEFT, offsetof(ThreadState, calls_left));
#define FRAME(name, field) DEFINE(name, offsetof(ThreadState, frame) + offsetof(Frame, field))
  FRAME(F_RAX, rax);
  FRAME(F_RBX, rbx);
  FRAME(F_RCX, rcx);
  FRAME(F_RDX, rdx);
  FRAME(F_RSI, rsi);
  FRAME(F_RDI, rdi);
  FRAME(F_RBP, rbp);
  FRAME(F_RSP, rsp);
  FRAME(F_R8, r8);
  FRAME(F_R9, r9);
  FRAME(F_R10, r10);
  FRAME(F_R12, r12);
  FRAME(F_R13, r13);
  FRAME(F_R14, r14);
  FRAME(F_R15, r15);
  FRAME(F_RIP, rip);
  FRAME(F_RESTART, restart);
  DEFINE(PROCESS_FDS, offsetof(Process, fds));
  DEFINE(SLOT_FS_BASE, offsetof(ThreadSlot, fs_base));
  DEFINE(SLOT_STATE, offsetof(ThreadSlot, state));
  DEFINE(SLOT_BYTES_LOG2, __builtin_ctzl(sizeof(ThreadSlot)));
  DEFINE(TABLE_BITS, kThreadTableBits);
  DEFINE(MAX_FD, abi::kMaxFd);
  DEFINE(IN_HOOK_OUTSIDE, kOutside);
  DEFINE(IN_HOOK_INSIDE, kInside);
  DEFINE(IN_HOOK_WINDOW, kWindow);
  DEFINE(ASK_IF_FLAGGED, kAskIfFlagged);
  DEFINE(ASK_IF_PATHS, kAskIfPaths);
  DEFINE(INTERESTS, sizeof mino_interest);
}

}  // namespace mino::hook
