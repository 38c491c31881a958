// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/held_signals.h.
#include "hook/catch/held_signals.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

u32 index_of(int sig) {
  u32 i = 0;
  while (i < 3 && kSynchronousSignals[i] != sig) i++;
  return i;
}

// A signal for the process that waits until some thread takes it. A second one of its kind is lost,
// as with the kernel. A handler may come between any two steps, so nobody waits for a state.
enum State : u32 { kEmpty, kFilling, kFull, kTaking };
struct Shared {
  u32 state;
  const void* group;  // whose (ThreadState::group): a vfork child has this memory too
  SigInfo info;
} shared[4];

// What a thread that is to take such a signal is sent has this value.
const char mark = 0;

bool put_shared(const ThreadState* ts, int sig, const SigInfo* info) {
  Shared& slot = shared[index_of(sig)];
  u32 expected = kEmpty;
  if (!__atomic_compare_exchange_n(&slot.state, &expected, u32{kFilling}, false, __ATOMIC_ACQUIRE,
                                   __ATOMIC_RELAXED))
    return false;
  slot.group = ts->group;
  slot.info = *info;
  __atomic_store_n(&slot.state, u32{kFull}, __ATOMIC_RELEASE);  // pairs with take_shared
  return true;
}

bool take_shared(const ThreadState* ts, int sig, SigInfo* info) {
  Shared& slot = shared[index_of(sig)];
  if (slot.group != ts->group) return false;
  u32 expected = kFull;
  if (!__atomic_compare_exchange_n(&slot.state, &expected, u32{kTaking}, false, __ATOMIC_ACQUIRE,
                                   __ATOMIC_RELAXED))
    return false;
  *info = slot.info;
  __atomic_store_n(&slot.state, u32{kEmpty}, __ATOMIC_RELEASE);
  return true;
}

u64 shared_signals(const ThreadState* ts) {
  u64 found = 0;
  for (int sig : kSynchronousSignals) {
    const Shared& slot = shared[index_of(sig)];
    if (__atomic_load_n(&slot.state, __ATOMIC_RELAXED) == kFull && slot.group == ts->group)
      found |= bit(sig);
  }
  return found;
}

bool is_handed_over(const SigInfo* info) {
  return info->code == SI_QUEUE && info->fields[1] == ptr(&mark);
}

// tgkill and its like address a thread; so does rt_tgsigqueueinfo, which cannot be told from
// rt_sigqueueinfo except that the kernel prefers the main thread for the latter.
bool for_process(const SigInfo* info) {
  if (info->code == SI_TKILL) return false;
  return info->code == SI_USER || raw(__NR_gettid) == raw(__NR_getpid);
}

void queue(int sig, const SigInfo* info) {
  raw(__NR_rt_tgsigqueueinfo, static_cast<u64>(raw(__NR_getpid)),
      static_cast<u64>(raw(__NR_gettid)), static_cast<u64>(sig), ptr(info));
}

// Tells a thread that takes the signal, if there is one.
void hand_over(const ThreadState* from, int sig) {
  // Either this sees the mask of a thread that unblocks the signal, or that thread sees the signal.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // pairs with look_for_held
  for (const ThreadState* ts = first_thread(); ts; ts = ts->next) {
    const bool takes = !(ts->hidden_mask & bit(sig)) || (ts->awaited & bit(sig));
    if (ts == from || ts->exiting || ts->group != from->group || !ts->tid || !takes) continue;
    SigInfo poke{};
    poke.signo = sig;
    poke.code = SI_QUEUE;
    poke.fields[1] = ptr(&mark);
    if (raw(__NR_rt_tgsigqueueinfo, static_cast<u64>(raw(__NR_getpid)), ts->tid,
            static_cast<u64>(sig), ptr(&poke)) == 0)
      return;
  }
}

void hold(ThreadState* ts, int sig, const SigInfo* info) {
  if (!(ts->held & bit(sig))) copy(ts->held_info[index_of(sig)], info, sizeof *info);
  ts->held |= bit(sig);
}

}  // namespace

bool admit_sent(ThreadState* ts, const SigAction& action, int sig, SigInfo* info) {
  if (is_handed_over(info) && !take_shared(ts, sig, info)) return false;
  const u64 ignore = reinterpret_cast<u64>(SIG_IGN);
  if ((ts->ready & bit(sig)) || !((ts->hidden_mask | ts->awaited) & bit(sig)))
    return action.handler != ignore;
  if (!for_process(info))
    hold(ts, sig, info);
  else if (put_shared(ts, sig, info))
    hand_over(ts, sig);
  return false;
}

void hold_ready(ThreadState* ts, int sig, const SigInfo* info) {
  hold(ts, sig, info);
  ts->ready |= bit(sig);
  ts->deferred |= kHeld;
}

void look_for_held(ThreadState* ts) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // after the change of the mask; pairs with hand_over
  SigInfo info;
  for (int sig : kSynchronousSignals) {
    if (ts->hidden_mask & bit(sig)) continue;
    if (!(ts->held & bit(sig)) && take_shared(ts, sig, &info)) hold(ts, sig, &info);
    if (ts->held & bit(sig)) {
      ts->ready |= bit(sig);
      ts->deferred |= kHeld;
    }
  }
}

u64 held_signals(const ThreadState* ts) {
  return ts->held | shared_signals(ts);
}

void forget_held(ThreadState* ts, int sig) {
  SigInfo info;
  take_shared(ts, sig, &info);
  ts->held &= ~bit(sig);
  ts->ready &= ~bit(sig);
}

void forget_held_in_child(ThreadState* ts) {
  ts->held = ts->ready = ts->awaited = 0;
  ts->tid = static_cast<u32>(raw(__NR_gettid));
  for (Shared& slot : shared) slot.state = kEmpty;
}

void queue_ready(ThreadState* ts) {
  for (int sig : kSynchronousSignals) {
    if (!(ts->held & ts->ready & bit(sig))) continue;
    ts->held &= ~bit(sig);  // first: the signal may come at once
    queue(sig, reinterpret_cast<const SigInfo*>(ts->held_info[index_of(sig)]));
  }
}

ReallyBlocked::ReallyBlocked(ThreadState* ts, u64 signals)
    : ts_(ts), signals_(signals & kSynchronous) {
  if (!signals_) return;
  ts->awaited = signals_;
  raw(__NR_rt_sigprocmask, SIG_BLOCK, ptr(&signals_), 0, 8);
  SigInfo info;
  for (int sig : kSynchronousSignals) {
    if (!(signals_ & bit(sig))) continue;
    if (take_shared(ts, sig, &info)) queue(sig, &info);
    if (!(ts->held & bit(sig))) continue;
    queue(sig, reinterpret_cast<const SigInfo*>(ts->held_info[index_of(sig)]));
    ts->held &= ~bit(sig);
  }
}

// What is still pending arrives now, and is held again.
ReallyBlocked::~ReallyBlocked() {
  if (!signals_) return;
  ts_->awaited = 0;
  raw(__NR_rt_sigprocmask, SIG_UNBLOCK, ptr(&signals_), 0, 8);
}

void take_handed_over(const ThreadState* ts, SigInfo* info) {
  if (is_handed_over(info)) take_shared(ts, info->signo, info);
}

}  // namespace mino::hook

// Before the signal window: blocks every signal for real, so that none comes before the window is
// open.
extern "C" __attribute__((visibility("hidden"))) void mino_open_window(
    mino::hook::ThreadState* ts) {
  using namespace mino::hook;
  const u64 all = ~u64{0};
  u64 mask = 0;
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&all), ptr(&mask), 8);
  if (!(ts->deferred & kQueued)) ts->window_mask = ts->resume_mask = mask;
  queue_ready(ts);
}
