// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/guard.h.
#include "hook/calls/guard.h"

#include "hook/base/limits.h"
#include "hook/base/proc.h"
#include "hook/base/uapi.h"
#include "hook/calls/credentials.h"
#include "hook/calls/epoll.h"
#include "hook/calls/mmap.h"
#include "hook/calls/seccomp.h"
#include "hook/calls/setns.h"
#include "hook/calls/signals.h"
#include "hook/calls/symlinks.h"
#include "hook/catch/disarm.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/bell.h"
#include "hook/device/call.h"
#include "hook/device/lanes.h"
#include "hook/device/sharing.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// PTRACE_TRACEME is put off until the tracer expects the first stop: an exec, a signal to itself or
// a fault. Once a program is traced, each trap is a stop (SIGSYS), and a tracer that waits for the
// exec would wait for ever. (Go's tracer reads a pipe that the exec closes.)
long trace_me_later(ThreadState* ts, const Frame& f) {
  if (!settings.sud || f.rdi != PTRACE_TRACEME) return kLocal;
  if (ts->trace_me) return -EPERM;
  u64 tracer = 0;
  if (!ts->filters && read_status("\nTracerPid:\t", 10, tracer) && tracer) return kLocal;  // EPERM
  ts->trace_me = true;
  return 0;
}

// Syscall User Dispatch for the program. A thread has one: with the trap, the hook has it; without,
// the calls that the hook makes for the program would be dispatched as well. So the answer is that
// of a kernel that has none, except that switching off what is off works.
long own_dispatch(const Frame& f) {
  const bool switches_off = f.rsi == PR_SYS_DISPATCH_OFF && !f.rdx && !f.r10 && !f.r8;
  return switches_off ? 0 : -EINVAL;
}

}  // namespace

long do_guard(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  if (row.nr == __NR_prctl && f.rdi == PR_SET_KEEPCAPS) return do_credentials(ts, row);
  // After PR_SET_MDWE text can no longer be changed.
  if (row.nr == __NR_prctl && f.rdi == PR_SET_MDWE) rearm_for_good();
  // The thread gets another TCB. The table of threads must know before the program continues.
  if (row.nr == __NR_arch_prctl) {
    const long result = raw(row.nr, f.rdi, f.rsi);
    if (result == 0 && f.rdi == ARCH_SET_FS) move_thread(ts, f.rsi);
    return result;
  }
  if (row.nr == __NR_seccomp || (row.nr == __NR_prctl && f.rdi == PR_SET_SECCOMP))
    return do_seccomp(ts, row);
  if (row.nr == __NR_prctl && f.rdi == PR_SET_SYSCALL_USER_DISPATCH) return own_dispatch(f);
  if (row.nr == __NR_prctl) return kLocal;
  if (row.nr == __NR_munmap) return do_munmap(ts);
  if (row.nr == __NR_ptrace) return trace_me_later(ts, f);
  if (row.nr == __NR_kill || row.nr == __NR_tkill || row.nr == __NR_tgkill) {
    be_traced(ts);
    return kLocal;
  }
  if (row.nr == __NR_setrlimit || row.nr == __NR_prlimit64) {
    // Connect first, while the hook's descriptors can still get numbers above the limit, and its
    // memory is still to be had.
    const u64 resource = row.nr == __NR_setrlimit ? f.rdi : f.rsi,
              wanted = row.nr == __NR_setrlimit ? f.rsi : f.rdx;
    if ((resource != RLIMIT_NOFILE && resource != RLIMIT_AS && resource != RLIMIT_DATA) || !wanted)
      return kLocal;
    if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
    if (ts->has_lane && resume_lane(ts)) prepare_bell(ts);
    const long result =
        with_limits_at_rest([&] { return raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10); });
    learn_open_limit(ts->process);
    return result;
  }
  if (row.nr == __NR_unshare) return do_unshare(ts, row);
  if (row.nr == __NR_setns) {
    const long result = do_setns(ts, row);
    if (result != kLocal) return result;
  }
  // chroot, setns: connect first, since afterwards minod's socket may be out of reach.
  if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
  ts->process->directory->path[0] = 0;
  forget_file_systems();
  return row.nr == __NR_setns ? setns_on_host(ts, f.rdi, f.rsi) : kLocal;
}

}  // namespace mino::hook
