// SPDX-License-Identifier: Apache-2.0
//
// Arming Syscall User Dispatch and taking its traps. See hook/sud.h.
#include "hook/sud.h"

#include "hook/patch.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));
extern const char mino_entry[] __attribute__((visibility("hidden")));
extern const char mino_restore_rt[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {
constexpr u64 kPrSetSyscallUserDispatch = 59;
}

bool disarm_dispatch() {
  constexpr u64 kOff = 0;
  return raw(nr::kPrctl, kPrSetSyscallUserDispatch, kOff, 0, 0, 0) == 0;
}

bool arm_dispatch() {
  constexpr u64 kOn = 1;
  return raw(nr::kPrctl, kPrSetSyscallUserDispatch, kOn, ptr(__ehdr_start),
             static_cast<u64>(etext - __ehdr_start), 0) == 0;
}

bool on_trap(const SigInfo* info, UContext* uc) {
  constexpr int kSysUserDispatch = 2;
  if (info->code != kSysUserDispatch) return false;
  if (uc->rax == static_cast<u64>(nr::kRtSigreturn)) {
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
