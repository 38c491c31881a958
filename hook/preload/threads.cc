// SPDX-License-Identifier: Apache-2.0
//
// See hook/preload/threads.h.
#include "hook/preload/threads.h"

#include "hook/base/uapi.h"
#include "hook/catch/on_signal.h"
#include "hook/catch/signal_stack.h"
#include "hook/device/attach.h"
#include "hook/preload/libc.h"
#include "hook/state/filters.h"
#include "hook/state/signal_mask.h"

namespace mino::libc {
MINO_LIBC(int, pthread_key_create, unsigned* key, void (*destructor)(void*));
MINO_LIBC(int, pthread_setspecific, unsigned key, const void* value);
MINO_LIBC(int, pthread_join, hook::u64 thread, void** result);
}  // namespace mino::libc

namespace mino::hook {

namespace {

u32 key;
bool key_made;

long end_thread(ThreadState* ts, u64) {
  release_lane(ts);
  leave_thread(ts);
  return 0;
}

// The program's destructors may make calls too, so this one ends the state in the last of libc's
// rounds.
void destroy(void* rounds) {
  if (ptr(rounds) < kDestructorRounds) {
    libc::pthread_setspecific(key, reinterpret_cast<void*>(ptr(rounds) + 1));
  } else if (this_thread()) {
    run_inside(end_thread);
  }
}

// In the new thread. Its routine and argument are in the frame of its state.
void take_state(ThreadState* ts) {
  ts->tid = static_cast<u32>(raw(__NR_gettid));
  enter_thread(ts, fs_base());
  use_signal_stack(ts, true);
  open_synchronous_signals(ts);
  if (key_made) libc::pthread_setspecific(key, reinterpret_cast<void*>(1));
}

void* begin(void* state) {
  auto* ts = static_cast<ThreadState*>(state);
  const auto routine = reinterpret_cast<void* (*)(void*)>(ts->frame.rdi);
  void* const argument = reinterpret_cast<void*>(ts->frame.rsi);
  take_state(ts);
  return routine(argument);
}

int begin_c11(void* state) {
  auto* ts = static_cast<ThreadState*>(state);
  const auto routine = reinterpret_cast<int (*)(void*)>(ts->frame.rdi);
  void* const argument = reinterpret_cast<void*>(ts->frame.rsi);
  take_state(ts);
  return routine(argument);
}

ThreadState* new_state(u64 routine, u64 argument) {
  const ThreadState* self = hook_started() ? this_thread() : nullptr;
  ThreadState* ts = self ? make_thread(self->process) : nullptr;
  if (!ts) return nullptr;
  ts->frame.rdi = routine;
  ts->frame.rsi = argument;
  ts->hidden_mask = self->hidden_mask;
  inherit_filters(ts, self);
  return ts;
}

void give_up(ThreadState* ts) {
  __atomic_store_n(&ts->exiting, 1u, __ATOMIC_RELEASE);
}

using Create = int (*)(u64* thread, const void* attributes, void* (*routine)(void*), void*);
using CreateC11 = int (*)(u64* thread, int (*routine)(void*), void*);
using Cancel = int (*)(u64 thread);

Create real_create() {
  static Create function;
  if (!function) function = real<Create>("pthread_create");
  return function;
}

void* wait_for_word(void* word) {
  while (__atomic_load_n(static_cast<u32*>(word), __ATOMIC_ACQUIRE) == 0)
    raw(__NR_futex, ptr(word), FUTEX_WAIT, 0, 0);
  return nullptr;
}

// libc installs the handler of its signal when the first thread is cancelled. So this cancels a
// thread that ignores it, and then registers the handler with the hook.
void take_over_cancellation(Cancel cancel) {
  static u32 once, done;
  if (__atomic_exchange_n(&once, 1u, __ATOMIC_ACQ_REL)) {
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) raw(__NR_sched_yield);
    return;
  }
  u32 word = 0;
  u64 thread;
  if (real_create()(&thread, nullptr, wait_for_word, &word) == 0) {
    cancel(thread);
    __atomic_store_n(&word, 1u, __ATOMIC_RELEASE);
    raw(__NR_futex, ptr(&word), FUTEX_WAKE, 1);
    libc::pthread_join(thread, nullptr);
    SigAction action{};
    if (raw(__NR_rt_sigaction, kSigCancel, 0, ptr(&action), 8) == 0)
      mino_call(__NR_rt_sigaction, kSigCancel, ptr(&action), 0, 8);
  }
  __atomic_store_n(&done, 1u, __ATOMIC_RELEASE);
}

}  // namespace

void prepare_threads() {
  key_made = libc::pthread_key_create && libc::pthread_setspecific &&
             libc::pthread_key_create(&key, destroy) == 0;
}

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, pthread_create, u64* thread, const void* attributes, void* (*routine)(void*),
            void* argument) {
  ThreadState* ts = new_state(reinterpret_cast<u64>(routine), ptr(argument));
  const int error = ts ? real_create()(thread, attributes, begin, ts)
                       : real_create()(thread, attributes, routine, argument);
  if (error && ts) give_up(ts);
  return error;
}

MINO_EXPORT(int, thrd_create, u64* thread, int (*routine)(void*), void* argument) {
  static CreateC11 create;
  if (!create) create = real<CreateC11>("thrd_create");
  ThreadState* ts = new_state(reinterpret_cast<u64>(routine), ptr(argument));
  const int error = ts ? create(thread, begin_c11, ts) : create(thread, routine, argument);
  if (error && ts) give_up(ts);
  return error;
}

MINO_EXPORT(int, pthread_cancel, u64 thread) {
  static Cancel cancel;
  if (!cancel) cancel = real<Cancel>("pthread_cancel");
  if (hook_started() && pthread_join) take_over_cancellation(cancel);
  return cancel(thread);
}

}  // namespace mino::libc
