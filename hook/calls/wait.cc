// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/wait.h.
#include "hook/calls/wait.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/device/children.h"
#include "hook/state/interruptible.h"

namespace mino::hook {

namespace {

// waitid(which, pid, info, options, usage)
long wait_id(ThreadState* ts, const Frame& f) {
  siginfo_t info{};
  const u64 args[6] = {f.rdi, f.rsi, ptr(&info), f.r10, f.r8};
  const long result = mino_interruptible(ts, __NR_waitid, args);
  if (result != 0) return result;
  const bool ended = info.si_code >= CLD_EXITED && info.si_code <= CLD_DUMPED;
  if (info.si_pid > 0 && ended && !(f.r10 & WNOWAIT)) await_end_of_child(ts, info.si_pid);
  if (f.rdx && (!user_write(f.rdx, &info, 12) || !user_write(f.rdx + 16, &info.si_pid, 12)))
    return -EFAULT;
  return 0;
}

}  // namespace

long do_wait(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const Process* process = ts->process;
  if (process->children->count == 0 || process->session().status != SessionStatus::kLive)
    return kLocal;
  if (row.nr != __NR_wait4) return wait_id(ts, f);
  int status = 0;
  const u64 args[6] = {f.rdi, ptr(&status), f.rdx, f.r10};
  const long pid = mino_interruptible(ts, row.nr, args);
  if (pid <= 0) return pid;
  constexpr int kStopped = 0x7f, kContinued = 0xffff;  // WIFSTOPPED, WIFCONTINUED
  if ((status & 0xff) != kStopped && status != kContinued) await_end_of_child(ts, pid);
  if (f.rsi && !user_write(f.rsi, &status, sizeof status)) return -EFAULT;
  return pid;
}

}  // namespace mino::hook
