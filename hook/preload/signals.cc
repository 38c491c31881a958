// SPDX-License-Identifier: Apache-2.0
//
// Signal actions and masks by libc's names, so that the hook's handler comes before the program's
// handlers (hook/catch/on_signal.h).
#include "hook/base/uapi.h"
#include "hook/catch/context.h"
#include "hook/catch/on_signal.h"
#include "hook/preload/libc.h"
#include "hook/state/signal_mask.h"

extern "C" {
extern const char mino_restore_rt[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {

struct LibcAction {  // libc's struct sigaction
  u64 handler;
  u64 mask[16];
  int flags;
  u64 restorer;
};
static_assert(sizeof(LibcAction) == 152);

constexpr int kLast = 64;
constexpr u64 kOfLibc = bit(kSigCancel) | bit(kSigSetXid);
constexpr u64 kError = ~0ull;  // SIG_ERR

u64 interrupting;  // signals for which siginterrupt(sig, 1) was called

bool valid(int sig) {
  return sig >= 1 && sig <= kLast && !(bit(sig) & kOfLibc);
}

long change_action(int sig, const SigAction* act, SigAction* old) {
  if (!valid(sig)) return -EINVAL;
  return mino_call(__NR_rt_sigaction, number(sig), ptr(act), ptr(old), 8);
}

// The common part of signal, sysv_signal and sigset: the old handler, or SIG_ERR.
u64 change_handler(int sig, u64 handler, u64 flags, u64 mask) {
  const SigAction act{handler, flags | SA_RESTORER, ptr(mino_restore_rt), mask};
  SigAction old{};
  if (handler == kError) return answer(-EINVAL), kError;
  return answer(change_action(sig, &act, &old)) < 0 ? kError : old.handler;
}

long change_mask(int how, const u64* set, u64* old) {
  const u64 wanted = set ? *set & ~kOfLibc : 0;
  return mino_call(__NR_rt_sigprocmask, number(how), set ? ptr(&wanted) : 0, ptr(old), 8);
}

int change_one(int how, int sig) {
  if (!valid(sig)) return static_cast<int>(answer(-EINVAL));
  const u64 one = bit(sig);
  return static_cast<int>(answer(change_mask(how, &one, nullptr)));
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, sigaction, int sig, const void* act, void* old) {
  SigAction ours{}, before{};
  if (act) {
    const auto& wanted = *static_cast<const LibcAction*>(act);
    ours = {wanted.handler, static_cast<u32>(wanted.flags) | SA_RESTORER, ptr(mino_restore_rt),
            wanted.mask[0]};
  }
  const long result = change_action(sig, act ? &ours : nullptr, old ? &before : nullptr);
  if (result == 0 && old) {
    auto& to = *static_cast<LibcAction*>(old);
    to.handler = before.handler;
    to.mask[0] = before.mask;
    to.flags = static_cast<int>(before.flags & ~SA_RESTORER);
    to.restorer = before.restorer;
  }
  return static_cast<int>(answer(result));
}
MINO_EXPORT(int, __sigaction, int sig, const void* act, void* old) {
  return sigaction(sig, act, old);
}

MINO_EXPORT(u64, signal, int sig, u64 handler) {
  if (!valid(sig)) return answer(-EINVAL), kError;
  return change_handler(sig, handler, interrupting & bit(sig) ? 0 : SA_RESTART, bit(sig));
}
MINO_EXPORT(u64, bsd_signal, int sig, u64 handler) {
  return signal(sig, handler);
}
MINO_EXPORT(u64, ssignal, int sig, u64 handler) {
  return signal(sig, handler);
}
MINO_EXPORT(u64, sysv_signal, int sig, u64 handler) {
  return change_handler(sig, handler, SA_NODEFER | SA_RESETHAND, 0);
}
MINO_EXPORT(u64, __sysv_signal, int sig, u64 handler) {
  return sysv_signal(sig, handler);
}
MINO_EXPORT(int, siginterrupt, int sig, int interrupts) {
  SigAction action{};
  if (const long error = change_action(sig, nullptr, &action))
    return static_cast<int>(answer(error));
  if (interrupts) {
    interrupting |= bit(sig);
    action.flags &= ~SA_RESTART;
  } else {
    interrupting &= ~bit(sig);
    action.flags |= SA_RESTART;
  }
  return static_cast<int>(answer(change_action(sig, &action, nullptr)));
}

MINO_EXPORT(int, sigprocmask, int how, const u64* set, u64* old) {
  return static_cast<int>(answer(change_mask(how, set, old)));
}
MINO_EXPORT(int, pthread_sigmask, int how, const u64* set, u64* old) {
  return static_cast<int>(-change_mask(how, set, old));
}

MINO_EXPORT(int, sigaltstack, const void* stack, void* old) {
  return static_cast<int>(answer(mino_call(__NR_sigaltstack, ptr(stack), ptr(old))));
}
MINO_EXPORT(int, sigpending, u64* set) {
  return static_cast<int>(answer(mino_call(__NR_rt_sigpending, ptr(set), 8)));
}
MINO_EXPORT(int, sigsuspend, const u64* set) {
  return static_cast<int>(answer(mino_waiting_call(__NR_rt_sigsuspend, ptr(set), 8)));
}

MINO_EXPORT(int, sigtimedwait, const u64* set, SigInfo* info, const void* timeout) {
  const long result = mino_waiting_call(__NR_rt_sigtimedwait, ptr(set), ptr(info), ptr(timeout), 8);
  if (!is_error(result) && info && info->code == SI_TKILL) info->code = SI_USER;  // as glibc does
  return static_cast<int>(answer(result));
}
MINO_EXPORT(int, sigwaitinfo, const u64* set, SigInfo* info) {
  return sigtimedwait(set, info, nullptr);
}
MINO_EXPORT(int, sigwait, const u64* set, int* sig) {
  long result = -EINTR;
  while (result == -EINTR) result = mino_waiting_call(__NR_rt_sigtimedwait, ptr(set), 0, 0, 8);
  if (is_error(result)) return static_cast<int>(-result);
  *sig = static_cast<int>(result);
  return 0;
}
MINO_EXPORT(int, signalfd, int fd, const u64* set, int flags) {
  return static_cast<int>(
      answer(mino_call(__NR_signalfd4, number(fd), ptr(set), 8, number(flags))));
}

// The functions of System V.
MINO_EXPORT(int, sighold, int sig) {
  return change_one(SIG_BLOCK, sig);
}
MINO_EXPORT(int, sigrelse, int sig) {
  return change_one(SIG_UNBLOCK, sig);
}
MINO_EXPORT(int, sigignore, int sig) {
  return change_handler(sig, reinterpret_cast<u64>(SIG_IGN), 0, 0) == kError ? -1 : 0;
}
MINO_EXPORT(u64, sigset, int sig, u64 handler) {
  if (!valid(sig)) return answer(-EINVAL), kError;
  SigAction before{};
  u64 mask = 0;
  const u64 one = bit(sig);
  if (answer(change_action(sig, nullptr, &before)) < 0) return kError;
  if (handler != kSigHold && change_handler(sig, handler, 0, 0) == kError) return kError;
  if (answer(change_mask(handler == kSigHold ? SIG_BLOCK : SIG_UNBLOCK, &one, &mask)) < 0)
    return kError;
  return mask & one ? kSigHold : before.handler;
}

}  // namespace mino::libc
