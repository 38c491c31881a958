// SPDX-License-Identifier: Apache-2.0
//
// The signal handler behind every handler, rt_sigaction and rt_sigprocmask. See hook/catch/on_signal.h.
#include "hook/catch/on_signal.h"

#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/seccomp.h"
#include "hook/catch/disarm.h"
#include "hook/catch/patch.h"
#include "hook/catch/sud.h"

extern "C" {
#define MINO_LABEL(name) extern const char name[] __attribute__((visibility("hidden")))
MINO_LABEL(mino_signal);
MINO_LABEL(mino_restore_rt);
MINO_LABEL(mino_copy_begin);
MINO_LABEL(mino_copy_fault);
MINO_LABEL(mino_copy_words_begin);
MINO_LABEL(mino_copy_words_end);
MINO_LABEL(mino_copy_small);
MINO_LABEL(mino_copy_small_begin);
MINO_LABEL(mino_copy_small_end);
MINO_LABEL(mino_probe_begin);
MINO_LABEL(mino_probe_fault);
MINO_LABEL(mino_interruptible_begin);
MINO_LABEL(mino_interruptible_syscall);
MINO_LABEL(mino_interruptible_abort);
MINO_LABEL(mino_local_syscall);
}

namespace mino::hook {

namespace {

constexpr u64 kSaNoCldStop = 1, kSaNoCldWait = 2, kSaSiginfo = 4, kSaRestorer = 0x04000000,
              kSaOnStack = 0x08000000, kSaRestart = 0x10000000, kSaNoDefer = 0x40000000,
              kSaResetHand = 0x80000000;
constexpr u64 kDefault = 0, kIgnore = 1;
constexpr int kSigBlock = 0, kSigUnblock = 1, kSigSetmask = 2;

long kernel_sigaction(int sig, const SigAction* act, SigAction* old) {
  return raw(nr::kRtSigaction, static_cast<u64>(sig), ptr(act), ptr(old), 8);
}

void set_mask(u64 mask) {
  raw(nr::kRtSigprocmask, kSigSetmask, ptr(&mask), 0, 8);
}

// The action that the kernel gets for a handler of the application: all signals blocked, so that
// mino_on_signal is never interrupted by another before it has decided.
SigAction kernel_action(u64 flags) {
  return {
      ptr(mino_signal),
      (flags & (kSaNoCldStop | kSaNoCldWait | kSaOnStack | kSaRestart)) | kSaSiginfo | kSaRestorer,
      ptr(mino_restore_rt), ~kSynchronous};
}

// The default action of a signal that is ours in the kernel: let it happen for real.
void die_by(int sig, const SigInfo* info) {
  SigAction action{};
  kernel_sigaction(sig, &action, nullptr);
  if (info->code <= 0 || !(bit(sig) & kSynchronous)) {
    raw(nr::kRtTgsigqueueinfo, static_cast<u64>(raw(nr::kGetpid)),
        static_cast<u64>(raw(nr::kGettid)), static_cast<u64>(sig), ptr(info));
  }  // else: the instruction is executed again and faults again
}

bool fix_fault(UContext* uc) {
  if (uc->rip >= ptr(mino_copy_words_begin) && uc->rip < ptr(mino_copy_words_end)) {
    uc->rip = ptr(mino_copy_small);
    return true;
  }
  if (uc->rip == ptr(mino_copy_begin) ||
      (uc->rip >= ptr(mino_copy_small_begin) && uc->rip < ptr(mino_copy_small_end))) {
    uc->rip = ptr(mino_copy_fault);
    return true;
  }
  if (uc->rip == ptr(mino_probe_begin)) {
    uc->rip = ptr(mino_probe_fault);
    return true;
  }
  return false;
}

void defer(ThreadState* ts, int sig, const SigInfo* info, UContext* uc) {
  if (!ts->deferred) {
    ts->window_mask = ts->resume_mask = uc->sigmask;
    ts->restartable = 1;
  }
  ts->deferred = 1;
  if (!(ts->process->actions[sig].flags & kSaRestart)) ts->restartable = 0;
  uc->sigmask = ~kSynchronous;
  raw(nr::kRtTgsigqueueinfo, static_cast<u64>(raw(nr::kGetpid)), static_cast<u64>(raw(nr::kGettid)),
      static_cast<u64>(sig), ptr(info));
  if (uc->rip >= ptr(mino_interruptible_begin) && uc->rip <= ptr(mino_interruptible_syscall)) {
    uc->rip = ptr(mino_interruptible_abort);
  }
}

// In the window: the interrupted context becomes the application's.
void show_application_context(ThreadState* ts, UContext* uc) {
  const Frame& f = ts->frame;
  uc->rax = f.rax, uc->rbx = f.rbx, uc->rcx = f.rip, uc->rdx = f.rdx, uc->rsi = f.rsi,
  uc->rdi = f.rdi;
  uc->rbp = f.rbp, uc->rsp = f.rsp, uc->r8 = f.r8, uc->r9 = f.r9, uc->r10 = f.r10,
  uc->r11 = uc->eflags;
  uc->r12 = f.r12, uc->r13 = f.r13, uc->r14 = f.r14, uc->r15 = f.r15, uc->rip = f.rip;
  uc->sigmask = ts->resume_mask;
  __atomic_store_n(&ts->in_hook, kOutside, __ATOMIC_RELEASE);
}

// What the linux engine's session process passes on (engine/linux/delivery.h) cannot say that a
// kernel has sent it: the code stands in si_errno. True if it did.
bool restore_code(int sig, int& error, int& code) {
  constexpr int kSiSigio = -5;
  if (code != kSiSigio || error == 0 || (bit(sig) & kSynchronous)) return false;
  code = error;
  error = 0;
  return true;
}

// In a call of the program's that the hook makes on the program's stack (entry.S, mino_local), the
// handler finds the program where it made the call: behind it, or where the kernel starts it again.
// Static programs' unwinders know nothing of the hook's text.
bool show_local_call(UContext* uc) {
  const u64 call = ptr(mino_local_syscall);
  const bool done = uc->rip == call + 2;
  if (!done && uc->rip != call) return false;
  const u64* const words = reinterpret_cast<const u64*>(uc->rsp);  // restart, return address
  uc->rip = words[1] - (done ? 0 : words[0]);
  uc->rcx = uc->rip;
  uc->r11 = uc->eflags;
  uc->rsp += 144;  // the red zone, and these words
  return true;
}

// A seccomp filter trapped the program's call: its handler finds it where the program made it.
void show_trapped_call(SigInfo* info, UContext* uc) {
  if (uc->rip == ptr(mino_local_syscall) + 2 && show_local_call(uc)) info->fields[0] = uc->rip;
}

u64 on_signal(int sig, SigInfo* info, UContext* uc) {
  restore_code(sig, info->error, info->code);
  ThreadState* ts = this_thread();
  Process* process = ts ? ts->process : main_process();
  const bool fault = info->code > 0 && (bit(sig) & kSynchronous);
  if (fault) {
    if ((sig == kSigSegv || sig == kSigBus) && fix_fault(uc)) return 0;
    if (sig == kSigSegv && on_withheld_page(info, uc)) return 0;
    if (sig == kSigSys && on_trap(info, uc)) return 0;
    if (sig == kSigIll && on_illegal_instruction(uc)) {
      note_illegal_instruction();
      return 0;
    }
    if (ts && ts->in_hook == kOutside && be_traced(ts)) return 0;  // faults again: its first stop
  }
  constexpr int kSysSeccomp = 1;
  const bool trapped = fault && sig == kSigSys && info->code == kSysSeccomp;
  if (trapped && ts && ts->strict) end_strict(ts);
  u64 handler_mask = uc->sigmask;
  if (ts && ts->in_hook == kInside && !fault) {
    defer(ts, sig, info, uc);
    return 0;
  }
  if (ts && ts->in_hook == kWindow && !fault) {
    handler_mask = ts->window_mask;
    show_application_context(ts, uc);
  }
  SigAction action = process->actions[sig];
  if (trapped && ts && (ts->hidden_mask & bit(sig))) action.handler = kDefault;
  if (action.handler == kIgnore && !fault) return 0;
  if (action.handler == kDefault || action.handler == kIgnore) {
    if (trapped) uc->rip -= 2;  // asks the filter again
    die_by(sig, info);
    return 0;
  }
  if (trapped) show_trapped_call(info, uc);
  if (!fault) show_local_call(uc);
  if (action.flags & kSaResetHand) {
    if (!(bit(sig) & kSynchronous)) {
      SigAction reset{};
      kernel_sigaction(sig, &reset, nullptr);
    }
    process->actions[sig].handler = kDefault;
    process->actions[sig].flags &= ~kSaSiginfo;
  }
  handler_mask |= action.mask;
  if (!(action.flags & kSaNoDefer)) handler_mask |= bit(sig);
  set_mask(handler_mask & ~kSynchronous);
  return action.handler;
}

}  // namespace

void install_signal_handlers(Process* process) {
  for (int sig : {kSigIll, kSigBus, kSigSegv, kSigSys}) {
    const SigAction ours = kernel_action(kSaOnStack);
    kernel_sigaction(sig, &ours, &process->actions[sig]);
  }
}

void open_synchronous_signals(ThreadState* ts) {
  const u64 ours = kSynchronous;
  u64 inherited = 0;
  raw(nr::kRtSigprocmask, kSigUnblock, ptr(&ours), ptr(&inherited), 8);
  ts->hidden_mask = inherited & kSynchronous;
}

long do_sigaction(ThreadState* ts) {
  const Frame& f = ts->frame;
  Process* process = ts->process;
  const int sig = static_cast<int>(f.rdi);
  SigAction wanted{}, before{};
  if (f.rsi && !user_read(f.rsi, &wanted, sizeof wanted)) return err::kFault;
  const bool synchronous = bit(sig) & kSynchronous;
  if (synchronous) {
    before = process->actions[sig];
    if (f.rsi) {
      process->actions[sig] = wanted;
    }
  } else {
    // The table entry must be right before the kernel can deliver by it.
    const SigAction known = process->actions[sig];
    const bool is_handler = wanted.handler > kIgnore;
    if (!is_handler && known.handler <= kIgnore) return kLocal;  // no handler before or after
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
  if (f.rdx && !user_write(f.rdx, &before, sizeof before)) return err::kFault;
  return 0;
}

namespace {

struct AlternateStack {  // stack_t
  u64 base;
  int flags, pad;
  u64 bytes;
};
constexpr long kSigaltstack = 131;
constexpr int kSsDisable = 2;

void take_trap_stack_back(ThreadState* ts) {
  if (!ts->trap_stack) return;
  const AlternateStack none{0, kSsDisable, 0, 0};
  raw(kSigaltstack, ptr(&none));
  ts->trap_stack = false;
}

// For a thread that will not take another signal. False if that is not sure, or if it is on its
// alternate stack (the kernel's EPERM).
bool use_trap_stack(ThreadState* ts, AlternateStack& before) {
  constexpr u64 kKillAndStop = bit(9) | bit(19);
  u64 mask = 0;
  if (!settings.sud || ts->deferred) return false;
  raw(nr::kRtSigprocmask, kSigBlock, 0, ptr(&mask), 8);
  raw(kSigaltstack, 0, ptr(&before));
  const bool on_it = ts->frame.rsp - before.base < before.bytes;
  if ((mask | kSynchronous | kKillAndStop) != ~0ull || on_it) return false;
  const AlternateStack ours{ptr(ts->stack_base) - kTrapStackBytes, 0, 0, kTrapStackBytes};
  ts->trap_stack = raw(kSigaltstack, ptr(&ours)) == 0;
  return ts->trap_stack;
}

}  // namespace

long do_sigaltstack(ThreadState* ts) {
  const Frame& f = ts->frame;
  AlternateStack wanted{}, before{};
  take_trap_stack_back(ts);
  if (!f.rdi || !user_read(f.rdi, &wanted, sizeof wanted) || wanted.flags != kSsDisable)
    return kLocal;
  if (!use_trap_stack(ts, before)) return kLocal;
  return f.rsi && !user_write(f.rsi, &before, sizeof before) ? err::kFault : 0;
}

long do_munmap(ThreadState* ts) {
  const Frame& f = ts->frame;
  if (f.rsp - f.rdi >= f.rsi) return kLocal;
  AlternateStack before{};
  use_trap_stack(ts, before);
  return raw(nr::kMunmap, f.rdi, f.rsi);  // on the hook's stack, and back without the other
}

long do_sigprocmask(ThreadState* ts) {
  const Frame& f = ts->frame;
  if (f.rsi) take_trap_stack_back(ts);
  const int how = static_cast<int>(f.rdi);
  u64 set = 0, old = 0;
  if (f.rsi && !user_read(f.rsi, &set, 8)) return err::kFault;
  const u64 hidden = ts->hidden_mask;
  u64 open = set & ~kSynchronous;
  const u64 args[6] = {f.rdi, f.rsi ? ptr(&open) : 0, ptr(&old), 8};
  const long result = mino_interruptible(ts, nr::kRtSigprocmask, args);
  if (result == abi::kErestartsys) {
    // A signal is deferred already, and the kernel's mask is ours: the application's waits in
    // resume_mask.
    old = ts->resume_mask;
    if (f.rsi && how == kSigBlock) ts->resume_mask |= open;
    if (f.rsi && how == kSigUnblock) ts->resume_mask &= ~open;
    if (f.rsi && how == kSigSetmask) ts->resume_mask = open;
    if (f.rsi && (how < kSigBlock || how > kSigSetmask)) return err::kInval;
    ts->window_mask = ts->resume_mask;
  } else if (is_error(result)) {
    return result;
  }
  if (f.rsi) {
    const u64 ours = set & kSynchronous;
    if (how == kSigBlock) ts->hidden_mask = hidden | ours;
    if (how == kSigUnblock) ts->hidden_mask = hidden & ~ours;
    if (how == kSigSetmask) ts->hidden_mask = ours;
  }
  old |= hidden;
  if (f.rdx && !user_write(f.rdx, &old, 8)) return err::kFault;
  return 0;
}

long do_sigtimedwait(ThreadState* ts) {
  const Frame& f = ts->frame;
  if (!settings.netns || !f.rsi) return kLocal;
  constexpr long kRtSigtimedwait = 128;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10};
  const long result = mino_interruptible(ts, kRtSigtimedwait, args);
  if (result == abi::kErestartsys) return abi::kErestartnointr;  // a handler's turn; not begun yet
  int head[3];                                                   // of siginfo_t
  if (result > 0 && user_read(f.rsi, head, sizeof head) && restore_code(head[0], head[1], head[2]))
    user_write(f.rsi, head, sizeof head);
  return result;
}

long do_signalfd(ThreadState* ts, long nr) {
  const Frame& f = ts->frame;
  const long fd = raw(nr, f.rdi, f.rsi, f.rdx, f.r10);
  return fd == static_cast<int>(f.rdi) ? fd : made_here(ts, fd, settings.netns ? kSignals : 0);
}

namespace {

// Where byte `at` of what was read has been stored: `buffers` are so many, or one if that is 0.
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

}  // namespace

long read_signals(ThreadState* ts, long nr) {
  const Frame& f = ts->frame;
  constexpr long kReadv = 19, kPreadv2 = 327;
  if (nr != nr::kRead && nr != kReadv && nr != kPreadv2) return kLocal;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  const long result = mino_interruptible(ts, nr, args);
  constexpr long kRecord = 128;  // struct signalfd_siginfo: signo, errno, code, …
  const u64 parts = nr == nr::kRead ? 0 : f.rdx;
  for (long record = 0; record + kRecord <= result; record += kRecord) {
    int head[3]{};
    u8* const bytes = reinterpret_cast<u8*>(head);
    const auto place = [&](u64 i) {
      return place_of_byte(f.rsi, parts, static_cast<u64>(record) + i);
    };
    bool good = true;
    for (u64 i = 0; i < sizeof head; i++) good = good && user_read(place(i), bytes + i, 1);
    if (!good || !restore_code(head[0], head[1], head[2])) continue;
    for (u64 i = 0; i < sizeof head; i++) user_write(place(i), bytes + i, 1);
  }
  return result;
}

void raise_sigpipe(ThreadState*) {
  raw(nr::kTgkill, static_cast<u64>(raw(nr::kGetpid)), static_cast<u64>(raw(nr::kGettid)),
      kSigPipe);
}

TemporaryMask::TemporaryMask(ThreadState* ts, u64 mask_pointer, u64 mask_size) : ts_(ts) {
  if (!mask_pointer) return;
  u64 mask = 0;
  if (mask_size != 8) {
    error_ = err::kInval;
  } else if (!user_read(mask_pointer, &mask, 8)) {
    error_ = err::kFault;
  } else {
    // With everything blocked there is a moment in which `deferred` cannot change.
    const u64 all = ~kSynchronous;
    mask_ = mask & ~kSynchronous;
    set_ = true;
    raw(nr::kRtSigprocmask, kSigSetmask, ptr(&all), ptr(&previous_), 8);
    if (ts->deferred) previous_ = ts->resume_mask;
    set_mask(mask_);
  }
}

TemporaryMask::~TemporaryMask() {
  if (!set_) return;
  set_mask(~kSynchronous);
  if (ts_->deferred) {
    ts_->window_mask = interrupted_ ? mask_ : previous_;
    ts_->resume_mask = previous_;
  } else {
    set_mask(previous_);
  }
}

}  // namespace mino::hook

extern "C" __attribute__((visibility("hidden"))) mino::hook::u64 mino_on_signal(
    int sig, mino::hook::SigInfo* info, mino::hook::UContext* uc) {
  return mino::hook::on_signal(sig, info, uc);
}
