// SPDX-License-Identifier: Apache-2.0
//
// What the kernel passes to a signal handler, by its layout. Used by the handlers in this room; the
// program's handlers see the same memory.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

struct UContext {  // arch/x86/include/uapi/asm/{ucontext,sigcontext}.h
  u64 flags, link, stack[3];
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  u64 segments, err, trapno, oldmask, cr2, fpstate, reserved[8];
  u64 sigmask;
};
static_assert(offsetof(UContext, sigmask) == 296);

struct SigInfo {
  int signo, error, code, pad;
  u64 fields[14];  // [0] is si_addr or si_call_addr, or holds pid and uid
};
static_assert(sizeof(SigInfo) == 128);

}  // namespace mino::hook
