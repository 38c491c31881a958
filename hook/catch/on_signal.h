// SPDX-License-Identifier: Apache-2.0
//
// Signals under the hook. The application's handlers are kept in Process::actions; the kernel runs
// mino_signal, which decides. Theory of operation:
//   - Outside the hook: set the mask the application asked for, jump to its handler.
//   - Inside the hook: the signal is queued again, blocked, and `deferred` is set. A waiting call
//   is
//     interrupted (on the device too) and ends. On leaving, the hook opens the mask on the
//     application's stack (the window, entry.S); the kernel delivers; the handler's context is
//     rewritten to the application's, just after, or (restart) just before, its system call. The
//     handler therefore sees what it would see without the hook, may siglongjmp, unwind
//     (pthread_cancel), or return.
//   - SIGSEGV, SIGBUS, SIGILL, SIGSYS are never blocked for real (kSynchronous): fault-safe copies,
//   patched sites
//     and Syscall User Dispatch need them. What the application thinks of them is remembered and
//     reported.
//   - A thread that blocks everything and gives up its alternate stack is about to end, and may
//   give
//     up its stack before its last call (Go). A trap's frame must not be written there: from then
//     on traps have a stack of the hook's.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

inline constexpr int kSigIll = 4, kSigBus = 7, kSigSegv = 11, kSigPipe = 13, kSigSys = 31;
inline constexpr u64 bit(int sig) {
  return 1ull << (sig - 1);
}
inline constexpr u64 kSynchronous = bit(kSigIll) | bit(kSigBus) | bit(kSigSegv) | bit(kSigSys);

struct UContext {  // arch/x86/include/uapi/asm/{ucontext,sigcontext}.h
  u64 flags, link, stack[3];
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  u64 segments, err, trapno, oldmask, cr2, fpstate, reserved[8];
  u64 sigmask;
};
static_assert(offsetof(UContext, sigmask) == 296);

struct SigInfo {
  int signo, error, code, pad;
  u64 fields[14];  // [0] is si_addr, si_call_addr, or pid and uid
};
static_assert(sizeof(SigInfo) == 128);

void install_signal_handlers(Process* process);
void open_synchronous_signals(ThreadState* ts);  // what was inherited blocked

long do_sigaction(ThreadState* ts);    // rt_sigaction; result for the application
long do_sigprocmask(ThreadState* ts);  // rt_sigprocmask
long do_sigaltstack(ThreadState* ts);
long do_munmap(ThreadState* ts);
// What waits for signals: rt_sigtimedwait, signalfd and signalfd4, and a read of such a file.
long do_sigtimedwait(ThreadState* ts);
long do_signalfd(ThreadState* ts, long nr);
long read_signals(ThreadState* ts, long nr);
void raise_sigpipe(ThreadState* ts);
// A PTRACE_TRACEME that waits for its moment takes effect; false: none waits. In lifecycle.cc.
bool be_traced(ThreadState* ts);

// A signal mask for the time of one call (ppoll, epoll_pwait, …): set, and afterwards restored or,
// if a signal was deferred, arranged so that its handler runs under `mask` and the application goes
// on with its own.
class TemporaryMask {
 public:
  TemporaryMask(ThreadState* ts, u64 mask_pointer, u64 mask_size);
  ~TemporaryMask();
  long error() const { return error_; }  // EFAULT, EINVAL, or 0
  // The call's result. As in the kernel, only an interrupted one lets handlers run under the
  // temporary mask.
  long finish(long result) {
    interrupted_ = result == abi::kErestartnohand;
    return result;
  }

 private:
  ThreadState* ts_;
  u64 previous_ = 0, mask_ = 0;
  bool set_ = false;
  bool interrupted_ = false;
  long error_ = 0;
};

}  // namespace mino::hook
