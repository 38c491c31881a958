// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/guard.h.
#include "hook/calls/guard.h"

#include "hook/base/proc.h"
#include "hook/base/uapi.h"
#include "hook/calls/credentials.h"
#include "hook/calls/links.h"
#include "hook/calls/seccomp.h"
#include "hook/calls/signals.h"
#include "hook/catch/disarm.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/sharing.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr int kPtrace = 101;

// PTRACE_TRACEME takes effect where its tracer looks for the first stop: at an exec, a signal to
// itself or a fault. From then on each trap is a stop (SIGSYS), and a tracer that waits for the
// exec (Go's reads a pipe that the exec closes) would wait for ever.
long trace_me_later(ThreadState* ts, const Frame& f) {
  constexpr u64 kTraceMe = 0;
  if (!settings.sud || f.rdi != kTraceMe) return kLocal;
  if (ts->trace_me) return -EPERM;
  u64 tracer = 0;
  if (!ts->filters && read_status("\nTracerPid:\t", 10, tracer) && tracer) return kLocal;  // EPERM
  ts->trace_me = true;
  return 0;
}

}  // namespace

long do_guard(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kPrSetSyscallUserDispatch = 59;
  constexpr u64 kPrSetKeepcaps = 8;
  if (row.nr == __NR_prctl && f.rdi == kPrSetKeepcaps) return do_mirror(ts, row);
  constexpr u64 kPrSetMdwe = 65;
  if (row.nr == __NR_prctl && f.rdi == kPrSetMdwe) rearm_for_good();  // while that may be done
  // A new thread-control block: the table of threads must know before the program goes on.
  constexpr u64 kArchSetFs = 0x1002;
  if (row.nr == __NR_arch_prctl) {
    const long result = raw(row.nr, f.rdi, f.rsi);
    if (result == 0 && f.rdi == kArchSetFs) move_thread(ts, f.rsi);
    return result;
  }
  constexpr u64 kPrSetSeccomp = 22;
  if (row.nr == __NR_seccomp || (row.nr == __NR_prctl && f.rdi == kPrSetSeccomp))
    return do_seccomp(ts, row);
  if (row.nr == __NR_prctl)
    return f.rdi == kPrSetSyscallUserDispatch && settings.sud ? -EINVAL : kLocal;
  if (row.nr == __NR_munmap) {
    before_change_of_memory(f.rdi, f.rsi);
    return do_munmap(ts);
  }
  if (row.nr == kPtrace) return trace_me_later(ts, f);
  constexpr int kKill = 62, kTkill = 200;
  if (row.nr == kKill || row.nr == kTkill || row.nr == __NR_tgkill) {
    be_traced(ts);
    return kLocal;
  }
  constexpr int kSetrlimit = 160;
  if (row.nr == kSetrlimit || row.nr == __NR_prlimit64) {
    // The hook's own descriptors go above the old limit while that is possible.
    constexpr u64 kRlimitNofile = 7;
    const u64 resource = row.nr == kSetrlimit ? f.rdi : f.rsi,
              wanted = row.nr == kSetrlimit ? f.rsi : f.rdx;
    if (resource != kRlimitNofile || !wanted) return kLocal;
    if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
    const long result = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10);
    learn_open_limit(ts->process);
    return result;
  }
  constexpr int kUnshare = 272, kSetns = 308;
  if (row.nr == kUnshare && (f.rdi & CLONE_FILES) && table_is_shared(ts)) {
    const long result = own_table(ts, CLONE_FILES);
    if (is_error(result) || f.rdi == CLONE_FILES) return result;
  }
  // A network namespace that nobody's sockets are in would be of no use: it is the device's.
  constexpr u64 kCloneNewnet = 0x40000000;
  if (settings.netns && row.nr == kUnshare && (f.rdi & kCloneNewnet)) {
    if (const long error = ready(ts)) return error;
    const u64 others = f.rdi & ~kCloneNewnet;
    if (others) {
      const long result = raw(row.nr, others);
      if (is_error(result)) return result;
      ts->process->directory->path[0] = 0;
      forget_file_systems();
    }
    const u64 args[6] = {kCloneNewnet};
    return offload(ts, row, args, -1, 0, kNoCancel);
  }
  if (settings.netns && row.nr == kSetns && ts->process->offloaded(f.rdi)) {
    if (const long error = ready(ts)) return error;
    const u64 args[6] = {f.rdi, f.rsi};
    return offload(ts, row, args, -1, 0, kNoCancel);
  }
  // chroot, unshare, setns: afterwards the device's socket may be out of reach.
  if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
  ts->process->directory->path[0] = 0;
  forget_file_systems();
  return kLocal;
}

}  // namespace mino::hook
