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

struct ChildInfo {  // the part of siginfo_t that waitid fills
  int signo, error, code, pad, pid;
  u32 uid;
  int status;
  char rest[100];
};

// waitid(which, pid, info, options, usage)
long wait_id(ThreadState* ts, const Frame& f) {
  constexpr u64 kNoWait = 0x01000000;
  ChildInfo info{};
  const u64 args[6] = {f.rdi, f.rsi, ptr(&info), f.r10, f.r8};
  constexpr long kWaitid = 247;
  const long result = mino_interruptible(ts, kWaitid, args);
  if (result != 0) return result;
  constexpr int kExited = 1, kDumped = 3;  // CLD_EXITED, CLD_KILLED, CLD_DUMPED
  if (info.pid > 0 && info.code >= kExited && info.code <= kDumped && !(f.r10 & kNoWait))
    await_end_of_child(ts, info.pid);
  if (f.rdx && (!user_write(f.rdx, &info, 12) || !user_write(f.rdx + 16, &info.pid, 12)))
    return -EFAULT;
  return 0;
}

}  // namespace

long do_wait(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const Process* process = ts->process;
  if (process->children->count == 0 || process->session().status != SessionStatus::kLive)
    return kLocal;
  constexpr int kWait4 = 61;
  if (row.nr != kWait4) return wait_id(ts, f);
  int status = 0;
  const u64 args[6] = {f.rdi, ptr(&status), f.rdx, f.r10};
  const long pid = mino_interruptible(ts, row.nr, args);
  if (pid <= 0) return pid;
  constexpr int kStopped = 0x7f, kContinued = 0xffff;
  if ((status & 0xff) != kStopped && status != kContinued) await_end_of_child(ts, pid);
  if (f.rsi && !user_write(f.rsi, &status, sizeof status)) return -EFAULT;
  return pid;
}

}  // namespace mino::hook
