// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/signals.h. How handlers are called is in hook/catch/on_signal.h.
#include "hook/calls/signals.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/entry.h"
#include "hook/catch/held_signals.h"
#include "hook/catch/on_signal.h"
#include "hook/catch/signal_stack.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

long do_sigaction(ThreadState* ts) {
  const Frame& f = ts->frame;
  Process* process = ts->process;
  const int sig = static_cast<int>(f.rdi);
  SigAction wanted{}, before{};
  if (f.rsi && !user_read(f.rsi, &wanted, sizeof wanted)) return -EFAULT;
  const bool synchronous = bit(sig) & kSynchronous;
  if (synchronous) {
    before = process->actions[sig];
    if (f.rsi) {
      process->actions[sig] = wanted;
      const SigAction ours = synchronous_action(wanted);
      kernel_sigaction(sig, &ours, nullptr);
      if (wanted.handler == reinterpret_cast<u64>(SIG_IGN)) forget_held(ts, sig);
    }
  } else {
    // The entry in `actions` must be right before the kernel can deliver a signal by it.
    const SigAction known = process->actions[sig];
    const u64 ignore = reinterpret_cast<u64>(SIG_IGN);
    const bool is_handler = wanted.handler > ignore;
    if (!is_handler && known.handler <= ignore) return kLocal;  // no handler before or after
    const SigAction ours = is_handler ? kernel_action(wanted.flags) : wanted;
    if (f.rsi && is_handler) process->actions[sig] = wanted;
    const long result = kernel_sigaction(sig, f.rsi ? &ours : nullptr, &before);
    if (is_error(result)) {
      process->actions[sig] = known;
      return result;
    }
    if (before.handler == ptr(mino_signal)) before = known;
    if (f.rsi && !is_handler) process->actions[sig] = wanted;
  }
  if (f.rdx && !user_write(f.rdx, &before, sizeof before)) return -EFAULT;
  return 0;
}

long do_sigaltstack(ThreadState* ts) {
  const Frame& f = ts->frame;
  AlternateStack kernels{}, wanted{};
  AlternateStack& stack = ts->alternate;
  raw(__NR_sigaltstack, 0, ptr(&kernels));
  if (!on_signal_stack(ts, kernels.base))
    return kLocal;  // it was changed where the hook saw nothing
  settle_alternate_stack(ts, kernels.bytes);
  if (kernels.bytes != kTrapStackBytes) use_signal_stack(ts, false);
  if (f.rdi && !user_read(f.rdi, &wanted, sizeof wanted)) return -EFAULT;
  const bool on_it = on_alternate_stack(ts, f.rsp);
  AlternateStack before = stack;
  before.flags |= !stack.bytes ? u32{SS_DISABLE} : on_it ? u32{SS_ONSTACK} : 0;
  if (f.rdi) {
    if (on_it) return -EPERM;
    // The kernel judges the rest, about a stack of the hook for this moment.
    const AlternateStack trial{kernels.base, wanted.flags, 0, min(wanted.bytes, kTrapStackBytes)};
    const long result = raw(__NR_sigaltstack, ptr(&trial));
    use_signal_stack(ts, false);
    if (is_error(result)) return result;
    const bool none = (wanted.flags & ~SS_AUTODISARM) == SS_DISABLE;
    stack = none ? AlternateStack{} : wanted;
    stack.flags = wanted.flags & SS_AUTODISARM;
  }
  return f.rsi && !user_write(f.rsi, &before, sizeof before) ? -EFAULT : 0;
}

// If only signals of kSynchronous are deferred, the kernel has the program's mask.
void own_resume_mask(ThreadState* ts) {
  if (ts->deferred & kQueued) return;
  const u64 ours = ~kSynchronous;
  u64 mask = 0;
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&ours), ptr(&mask), 8);
  if (ts->deferred & kQueued) return;  // meanwhile
  ts->window_mask = ts->resume_mask = mask;
  ts->deferred |= kQueued;
}

long do_sigprocmask(ThreadState* ts) {
  const Frame& f = ts->frame;
  const int how = static_cast<int>(f.rdi);
  u64 set = 0, old = 0;
  if (f.rsi && !user_read(f.rsi, &set, 8)) return -EFAULT;
  const u64 hidden = ts->hidden_mask;
  u64 open = set & ~kSynchronous;
  const u64 args[6] = {f.rdi, f.rsi ? ptr(&open) : 0, ptr(&old), 8};
  const long result = mino_interruptible(ts, __NR_rt_sigprocmask, args);
  if (result == abi::kErestartsys) {
    // A signal is deferred already. The kernel has the hook's mask, and the program's mask waits in
    // resume_mask.
    own_resume_mask(ts);
    old = ts->resume_mask;
    if (f.rsi && how == SIG_BLOCK) ts->resume_mask |= open;
    if (f.rsi && how == SIG_UNBLOCK) ts->resume_mask &= ~open;
    if (f.rsi && how == SIG_SETMASK) ts->resume_mask = open;
    if (f.rsi && (how < SIG_BLOCK || how > SIG_SETMASK)) return -EINVAL;
    ts->window_mask = ts->resume_mask;
  } else if (is_error(result)) {
    return result;
  }
  if (f.rsi) {
    const u64 ours = set & kSynchronous;
    if (how == SIG_BLOCK) ts->hidden_mask = hidden | ours;
    if (how == SIG_UNBLOCK) ts->hidden_mask = hidden & ~ours;
    if (how == SIG_SETMASK) ts->hidden_mask = ours;
    look_for_held(ts);
  }
  old |= hidden;
  if (f.rdx && !user_write(f.rdx, &old, 8)) return -EFAULT;
  return 0;
}

long do_sigtimedwait(ThreadState* ts) {
  const Frame& f = ts->frame;
  u64 set = 0;
  if (!user_read(f.rdi, &set, sizeof set)) return -EFAULT;
  if (!(set & kSynchronous) && (!settings.netns || !f.rsi)) return kLocal;
  SigInfo info{};
  const u64 args[6] = {f.rdi, ptr(&info), f.rdx, f.r10};
  long result = 0;
  {
    const ReallyBlocked blocked(ts, set);
    result = mino_interruptible(ts, __NR_rt_sigtimedwait, args);
  }
  // A handler comes first; the call has not begun.
  if (result == abi::kErestartsys) return abi::kErestartnointr;
  if (result > 0) take_handed_over(ts, &info);
  if (result <= 0 || !f.rsi) return result;
  restore_code(info.signo, info.error, info.code);
  return user_write(f.rsi, &info, sizeof info) ? result : -EFAULT;
}

// Only where the mask differs in signals that are never really blocked: the host knows the others.
long do_sigsuspend(ThreadState* ts) {
  const Frame& f = ts->frame;
  u64 mask = 0;
  if (!user_read(f.rdi, &mask, sizeof mask)) return -EFAULT;
  const u64 before = ts->hidden_mask;
  if (((before ^ mask) & kSynchronous) == 0) return kLocal;
  TemporaryMask temporary(ts, f.rdi, f.rsi);
  ts->hidden_mask = mask & kSynchronous;
  look_for_held(ts);
  const u64 none[6] = {};
  while (!ts->deferred) mino_interruptible(ts, __NR_ppoll, none);
  ts->hidden_mask = before;
  return temporary.finish(abi::kErestartnohand);
}

long do_sigpending(ThreadState* ts) {
  const Frame& f = ts->frame;
  u64 pending = 0;
  const long result = raw(__NR_rt_sigpending, ptr(&pending), f.rsi);
  if (is_error(result)) return result;
  pending |= held_signals(ts) & ts->hidden_mask;
  return user_write(f.rdi, &pending, f.rsi) ? 0 : -EFAULT;
}

long do_signalfd(ThreadState* ts, long nr) {
  const Frame& f = ts->frame;
  const long fd = raw(nr, f.rdi, f.rsi, f.rdx, f.r10);
  if (is_error(fd)) return fd;
  u64 signals = 0;
  user_read(f.rsi, &signals, sizeof signals);
  signals &= kSynchronous;
  __atomic_fetch_or(&ts->process->table()->signalfd_signals, signals, __ATOMIC_RELAXED);
  if (fd != static_cast<int>(f.rdi))
    return register_local_fd(ts, fd, settings.netns || signals ? kSignals : 0);
  if (signals) ts->process->add_flags(static_cast<u64>(fd), kSignals);
  return fd;
}

// Where byte `at` of what was read has been stored. `buffers` points to `count` iovecs, or is the
// buffer if that is 0.
u64 place_of_byte(u64 buffers, u64 count, u64 at) {
  struct {
    u64 base, bytes;
  } part;
  if (count == 0) return buffers + at;
  for (u64 i = 0; i < count && user_read(buffers + i * sizeof part, &part, sizeof part); i++) {
    if (at < part.bytes) return part.base + at;
    at -= part.bytes;
  }
  return 0;
}

// True if the record had to be changed.
bool restore_record(const ThreadState* ts, signalfd_siginfo& record) {
  if (restore_code(static_cast<int>(record.ssi_signo), record.ssi_errno, record.ssi_code))
    return true;
  SigInfo info{};
  info.signo = static_cast<int>(record.ssi_signo);
  info.code = record.ssi_code;
  info.fields[1] = record.ssi_ptr;
  take_handed_over(ts, &info);
  if (info.fields[1] == record.ssi_ptr) return false;
  record.ssi_code = info.code;
  record.ssi_pid = static_cast<u32>(info.fields[0]);
  record.ssi_uid = static_cast<u32>(info.fields[0] >> 32);
  record.ssi_ptr = info.fields[1];
  record.ssi_int = static_cast<int>(info.fields[1]);
  return true;
}

}  // namespace

long wait_with_signalfd(ThreadState* ts, const abi::Row& row, Wait wait) {
  const u64 signals = ts->process->table()->signalfd_signals & ts->hidden_mask;
  if (!signals) return wait(ts, row);
  const ReallyBlocked blocked(ts, signals);
  const long result = wait(ts, row);
  if (result != kLocal) return result;
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = ts->frame.arg(i);
  const long local = mino_interruptible(ts, row.nr, args);
  return local == abi::kErestartsys ? abi::kErestartnohand : local;
}

long read_signals(ThreadState* ts, long nr) {
  const Frame& f = ts->frame;
  if (nr != __NR_read && nr != __NR_readv && nr != __NR_preadv2) return kLocal;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  long result = 0;
  {
    const ReallyBlocked blocked(ts, ts->hidden_mask & ts->process->table()->signalfd_signals);
    result = mino_interruptible(ts, nr, args);
  }
  constexpr long kRecord = sizeof(signalfd_siginfo);  // begins with signo, errno, code
  const u64 parts = nr == __NR_read ? 0 : f.rdx;
  for (long record = 0; record + kRecord <= result; record += kRecord) {
    signalfd_siginfo head{};
    u8* const bytes = reinterpret_cast<u8*>(&head);
    const auto place = [&](u64 i) {
      return place_of_byte(f.rsi, parts, static_cast<u64>(record) + i);
    };
    bool good = true;
    for (u64 i = 0; i < sizeof head; i++) good = good && user_read(place(i), bytes + i, 1);
    if (!good || !restore_record(ts, head)) continue;
    for (u64 i = 0; i < sizeof head; i++) user_write(place(i), bytes + i, 1);
  }
  return result;
}

long do_signal(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  if (row.nr == __NR_sigaltstack) return do_sigaltstack(ts);
  if (row.nr == __NR_signalfd || row.nr == __NR_signalfd4) return do_signalfd(ts, row.nr);
  if (row.nr == __NR_rt_sigpending) return f.rsi <= 8 ? do_sigpending(ts) : kLocal;
  if (row.nr == __NR_rt_sigsuspend) return f.rsi == 8 ? do_sigsuspend(ts) : kLocal;
  if (f.r10 != 8) return kLocal;  // a wrong size: the kernel's EINVAL
  if (row.nr == __NR_rt_sigprocmask) return do_sigprocmask(ts);
  if (row.nr == __NR_rt_sigaction) {
    const int sig = static_cast<int>(f.rdi);
    return sig < 1 || sig > 64 || sig == SIGKILL || sig == SIGSTOP ? kLocal : do_sigaction(ts);
  }
  return row.nr == __NR_rt_sigtimedwait ? do_sigtimedwait(ts) : kLocal;
}

}  // namespace mino::hook
