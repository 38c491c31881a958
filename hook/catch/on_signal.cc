// SPDX-License-Identifier: Apache-2.0
//
// The signal handler behind all handlers of the program. See hook/catch/on_signal.h.
#include "hook/catch/on_signal.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/context.h"
#include "hook/catch/disarm.h"
#include "hook/catch/entry.h"
#include "hook/catch/held_signals.h"
#include "hook/catch/patch.h"
#include "hook/catch/signal_stack.h"
#include "hook/catch/strict_mode.h"
#include "hook/catch/sud.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

const u64 kDefault = reinterpret_cast<u64>(SIG_DFL), kIgnore = reinterpret_cast<u64>(SIG_IGN);

// The default action of a signal that the hook has caught: let it happen for real.
void die_by(int sig, const SigInfo* info) {
  SigAction action{};
  kernel_sigaction(sig, &action, nullptr);
  if (info->code <= 0 || !(bit(sig) & kSynchronous)) {
    raw(__NR_rt_tgsigqueueinfo, static_cast<u64>(raw(__NR_getpid)),
        static_cast<u64>(raw(__NR_gettid)), static_cast<u64>(sig), ptr(info));
  }  // otherwise the instruction runs again and faults again
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
  if (!ts->deferred) ts->restartable = 1;
  if (!(ts->process->actions[sig].flags & SA_RESTART)) ts->restartable = 0;
  if (bit(sig) & kSynchronous) {
    hold_ready(ts, sig, info);
  } else {
    if (!(ts->deferred & kQueued)) ts->window_mask = ts->resume_mask = uc->sigmask;
    ts->deferred |= kQueued;
    uc->sigmask = ~kSynchronous;
    raw(__NR_rt_tgsigqueueinfo, static_cast<u64>(raw(__NR_getpid)),
        static_cast<u64>(raw(__NR_gettid)), static_cast<u64>(sig), ptr(info));
  }
  if (uc->rip >= ptr(mino_interruptible_begin) && uc->rip <= ptr(mino_interruptible_syscall)) {
    uc->rip = ptr(mino_interruptible_abort);
  }
}

// Whether the program's handler has to wait: the hook is at work, or has not begun to deliver what
// it has deferred. (What is held outside of the hook came on top of this signal, and comes after
// it.) In the window a signal from elsewhere can come before the handler of the one that the window
// lets in.
bool is_busy(const ThreadState* ts, const UContext* uc) {
  if (ts->in_hook == kWindow)
    return uc->rip < ptr(mino_window_begin) || uc->rip > ptr(mino_window_end);
  return ts->in_hook == kInside || (ts->deferred & ~kHeld) || on_signal_stack(ts, uc->rsp);
}

// The number of the call that has just been made at %rip, or -1 if it cannot be told.
long call_number(const UContext* uc) {
  if (uc->rip == ptr(mino_local_syscall) + 2 || uc->rip == ptr(mino_interruptible_syscall) + 2)
    return static_cast<long>(*reinterpret_cast<const u64*>(uc->rsp));
  // mov $number,%eax; syscall. Here SIGSEGV may be blocked, so only within the page.
  const auto* const code = reinterpret_cast<const u8*>(uc->rip);
  if (uc->rip % 4096 < 7 || code[-2] != 0x0f || code[-1] != 0x05 || code[-7] != 0xb8) return -1;
  u32 number = 0;
  copy(&number, code - 6, sizeof number);
  return static_cast<long>(number);
}

// A signal that the program does not see has interrupted a call. Linux would not have interrupted
// it, so it is made again.
void make_call_again(UContext* uc) {
  if (uc->rax != static_cast<u64>(-EINTR)) return;
  const long number = call_number(uc);
  if (number < 0 || number == __NR_close) return;
  uc->rax = static_cast<u64>(number);
  uc->rip =
      uc->rip == ptr(mino_interruptible_syscall) + 2 ? ptr(mino_interruptible_begin) : uc->rip - 2;
}

// In the signal window: the interrupted context becomes the program's.
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

// If the signal interrupts a call that the hook makes on the program's stack (mino_local in
// entry.S), the handler sees the program where it made the call: just after it, or where the kernel
// restarts it. Unwinders of static programs know nothing about the hook's text.
bool show_local_call(UContext* uc) {
  const u64 call = ptr(mino_local_syscall);
  const bool done = uc->rip == call + 2;
  if (!done && uc->rip != call) return false;
  const u64* const words =
      reinterpret_cast<const u64*>(uc->rsp);  // number, restart, return address
  uc->rip = words[2] - (done ? 0 : words[1]);
  uc->rcx = uc->rip;
  uc->r11 = uc->eflags;
  uc->rsp += 152;  // the red zone, and these words
  return true;
}

// A seccomp filter has trapped the program's call: the handler sees it where the program made it.
void show_trapped_call(SigInfo* info, UContext* uc) {
  if (uc->rip == ptr(mino_local_syscall) + 2 && show_local_call(uc)) info->fields[0] = uc->rip;
}

// There is no room for the frame: the end, as of the kernel's force_sigsegv().
void die_of_no_stack() {
  const SigAction action{};
  kernel_sigaction(SIGSEGV, &action, nullptr);
  SigInfo info{};
  info.signo = SIGSEGV;
  info.code = SI_KERNEL;
  raw(__NR_rt_tgsigqueueinfo, static_cast<u64>(raw(__NR_getpid)),
      static_cast<u64>(raw(__NR_gettid)), SIGSEGV, ptr(&info));
}

// The last thing before the kernel continues the program, or its handler, from this frame: what
// came on top of this signal, while the hook's stack was in use, comes as it leaves that stack. It
// is blocked until then, since it would find the stack in use again.
void release_held(const UContext* uc) {
  ThreadState* ts = this_thread();
  if (!ts || ts->in_hook != kOutside || !on_signal_stack(ts, ptr(uc)) ||
      on_signal_stack(ts, uc->rsp))
    return;
  const u64 ours = kSynchronous;
  raw(__NR_rt_sigprocmask, SIG_BLOCK, ptr(&ours), 0, 8);
  if (!(ts->deferred & kHeld)) return;
  ts->deferred &= ~u32{kHeld};
  queue_ready(ts);
}

// Without the trap, sigaltstack may not have been seen: Go asks the kernel by an instruction of its
// own which stack there is, and takes the hook's for its.
bool keeps_signal_stack(const ThreadState* ts, const SigAction& action) {
  return !settings.sud && (action.flags & SA_ONSTACK) && !ts->alternate.bytes;
}

u64 on_signal(int sig, SigInfo* info, UContext* uc) {
  restore_code(sig, info->error, info->code);
  ThreadState* ts = this_thread();
  Process* process = ts ? ts->process : main_process();
  if (ts && on_signal_stack(ts, uc->stack[0])) {
    settle_alternate_stack(ts, uc->stack[2]);
    uc->stack[2] = kTrapStackBytes;
  }
  const bool fault = info->code > 0 && (bit(sig) & kSynchronous);
  if (fault) {
    if ((sig == SIGSEGV || sig == SIGBUS) && fix_fault(uc)) return 0;
    if (sig == SIGSEGV && on_withheld_page(info, uc)) return 0;
    if (sig == SIGSYS && on_trap(info, uc)) return 0;
    if (sig == SIGILL && on_illegal_instruction(uc)) {
      note_illegal_instruction();
      return 0;
    }
    if (ts && ts->in_hook == kOutside && be_traced(ts)) return 0;  // stops when it faults again
  }
  const bool trapped = fault && sig == SIGSYS && info->code == SYS_SECCOMP;
  if (trapped && ts && ts->strict) end_strict(ts);
  u64 handler_mask = uc->sigmask;
  SigAction action = process->actions[sig];
  const bool sent = !fault && (bit(sig) & kSynchronous);
  if (ts && sent && !admit_sent(ts, action, sig, info)) {
    make_call_again(uc);
    return 0;
  }
  if (ts && !fault && is_busy(ts, uc) && !(sent && action.handler == kDefault)) {
    defer(ts, sig, info, uc);
    return 0;
  }
  if (ts && sent) ts->ready &= ~bit(sig);
  if (ts && ts->in_hook == kWindow && !fault) {
    handler_mask = ts->window_mask;
    show_application_context(ts, uc);
  }
  if (fault && ts && (ts->hidden_mask & bit(sig))) action.handler = kDefault;
  if (action.handler == kIgnore && !fault) return 0;
  if (action.handler == kDefault || action.handler == kIgnore) {
    if (trapped) uc->rip -= 2;  // to ask the filter again
    die_by(sig, info);
    return 0;
  }
  if (trapped) show_trapped_call(info, uc);
  if (!fault) show_local_call(uc);
  if (action.flags & SA_RESETHAND) {
    // Linux keeps flags and mask (get_signal()).
    process->actions[sig].handler = kDefault;
    if (!(bit(sig) & kSynchronous)) kernel_sigaction(sig, &process->actions[sig], nullptr);
  }
  handler_mask |= action.mask;
  if (!(action.flags & SA_NODEFER)) handler_mask |= bit(sig);
  handler_mask &= ~kSynchronous;
  if (ts && on_signal_stack(ts, ptr(uc)) && !keeps_signal_stack(ts, action)) {
    if (!enter_handler(ts, sig, action, handler_mask, uc)) die_of_no_stack();
    return 0;
  }
  if (ts && (ts->deferred & kHeld) && ts->in_hook == kOutside) {
    ts->deferred &= ~u32{kHeld};
    queue_ready(ts);  // comes at once
  }
  set_mask(handler_mask);
  return action.handler;
}

}  // namespace

long kernel_sigaction(int sig, const SigAction* act, SigAction* old) {
  return raw(__NR_rt_sigaction, static_cast<u64>(sig), ptr(act), ptr(old), 8);
}

// All signals are blocked, so that no other signal interrupts mino_on_signal before it has decided.
SigAction kernel_action(u64 flags) {
  return {
      ptr(mino_signal),
      (flags & (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_ONSTACK | SA_RESTART)) | SA_SIGINFO | SA_RESTORER,
      ptr(mino_restore_rt), ~kSynchronous};
}

bool restore_code(int sig, int& error, int& code) {
  if (code != SI_SIGIO || error == 0 || (bit(sig) & kSynchronous)) return false;
  code = error;
  error = 0;
  return true;
}

SigAction synchronous_action(const SigAction& wanted) {
  const bool restart = wanted.handler == kIgnore || (wanted.flags & SA_RESTART);
  return kernel_action(SA_ONSTACK | (restart ? SA_RESTART : 0));
}

void install_signal_handlers(Process* process) {
  for (int sig : kSynchronousSignals) {
    kernel_sigaction(sig, nullptr, &process->actions[sig]);
    const SigAction ours = synchronous_action(process->actions[sig]);
    kernel_sigaction(sig, &ours, nullptr);
  }
}

void open_synchronous_signals(ThreadState* ts) {
  const u64 ours = kSynchronous;
  u64 inherited = 0;
  raw(__NR_rt_sigprocmask, SIG_BLOCK, 0, ptr(&inherited), 8);
  ts->hidden_mask |= inherited & kSynchronous;
  raw(__NR_rt_sigprocmask, SIG_UNBLOCK, ptr(&ours), 0, 8);  // what is pending is held
}

void show_synchronous_signals(ThreadState* ts) {
  // Other threads run on until the execve succeeds, and a trap that is ignored kills.
  for (int sig : kSynchronousSignals) {
    const SigAction ignored{kIgnore, 0, 0, 0};
    if (ts->process->actions[sig].handler == kIgnore && !has_company(ts))
      kernel_sigaction(sig, &ignored, nullptr);
  }
}

void hide_synchronous_signals(ThreadState* ts) {
  for (int sig : kSynchronousSignals) {
    const SigAction action = synchronous_action(ts->process->actions[sig]);
    if (ts->process->actions[sig].handler == kIgnore) kernel_sigaction(sig, &action, nullptr);
  }
}

bool be_traced(ThreadState* ts) {
  if (!ts->trace_me) return false;
  ts->trace_me = false;
  return raw(__NR_ptrace, PTRACE_TRACEME) == 0;
}

}  // namespace mino::hook

extern "C" __attribute__((visibility("hidden"))) mino::hook::u64 mino_on_signal(
    int sig, mino::hook::SigInfo* info, mino::hook::UContext* uc) {
  using namespace mino::hook;
  const u64 handler = on_signal(sig, info, uc);
  if (!handler) release_held(uc);
  return handler;
}
