// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/sud.h.
#include "hook/catch/sud.h"

#include "hook/base/library.h"
#include "hook/base/uapi.h"
#include "hook/catch/entry.h"
#include "hook/catch/patch.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

bool disarm_dispatch() {
  return raw(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
}

bool arm_dispatch() {
  return raw(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, base(),
             end_of_text() - base(), 0) == 0;
}

namespace {

// A 32-bit call (int $0x80) of a 64-bit program. It stays on the host and is made here. Calls that
// make processes are refused: the device would not learn about the child, which would use its
// parent's lane.
void call_32(UContext* uc) {
  // Numbers of i386. Its header cannot be included beside that of x86-64.
  constexpr u32 kI386Fork = 2, kI386Clone = 120, kI386Vfork = 190, kI386Clone3 = 435;
  const u32 number = static_cast<u32>(uc->rax);
  if (number == kI386Fork || number == kI386Clone || number == kI386Vfork ||
      number == kI386Clone3) {
    uc->rax = static_cast<u64>(-ENOSYS);
    return;
  }
  const u64 ours = ~kSynchronous, programs = uc->sigmask & ~kSynchronous;
  u64 registers[7] = {uc->rax, uc->rbx, uc->rcx, uc->rdx, uc->rsi, uc->rdi, uc->rbp};
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&programs), 0, 8);
  mino_call_32(registers);
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&ours), 0, 8);
  uc->rax = registers[0];
}

}  // namespace

bool on_trap(const SigInfo* info, UContext* uc) {
  if (info->code != SYS_USER_DISPATCH) return false;
  if (static_cast<u32>(info->fields[1] >> 32) != AUDIT_ARCH_X86_64) {
    call_32(uc);
    return true;
  }
  if (uc->rax == static_cast<u64>(__NR_rt_sigreturn)) {
    uc->rip = ptr(mino_restore_rt);  // needs the stack pointer as it is
    return true;
  }
  if (settings.patch) patch_when_hot(uc->rip - 2, uc->rax);
  uc->rcx = uc->rip;
  uc->r11 = 2;
  uc->rip = ptr(mino_entry);
  return true;
}

}  // namespace mino::hook
