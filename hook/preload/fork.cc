// SPDX-License-Identifier: Apache-2.0
//
// See hook/preload/fork.h. libc's own fork stays, because it takes locks and calls handlers of its
// own. The device forks in a handler that libc calls before (pthread_atfork), so that daemon and
// forkpty are served too.
#include "hook/preload/fork.h"

#include "hook/base/uapi.h"
#include "hook/calls/epoll.h"
#include "hook/calls/fork.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/children.h"
#include "hook/device/fork.h"
#include "hook/device/sharing.h"
#include "hook/preload/libc.h"
#include "hook/state/signal_mask.h"

namespace mino::libc {
MINO_LIBC(int, __register_atfork, void (*prepare)(), void (*parent)(), void (*child)(),
          void* module);
}

namespace mino::hook {

namespace {

// One fork that is under way.
struct Forking {
  u64 thread;  // %fs base of the thread that forks; 0: free
  u64 mask;
  ForkedSession session;
  void* table;
  bool company;
};
Forking forking[16];

Forking* find(u64 thread) {
  for (Forking& f : forking) {
    u64 free = thread;
    if (thread ? __atomic_load_n(&f.thread, __ATOMIC_ACQUIRE) == thread
               : __atomic_compare_exchange_n(&f.thread, &free, fs_base(), false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_RELAXED))
      return &f;
  }
  return nullptr;
}

using Fork = int (*)();
Fork libc_fork;

void set_mask(u64 mask, u64* old) {
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&mask), ptr(old), 8);
}

long fork_session(ThreadState* ts, u64 where) {
  auto& f = *reinterpret_cast<Forking*>(where);
  share_epoll_sets(ts);
  const long error = prepare_fork(ts, f.session);
  f.company = has_company(ts);
  // After an error libc forks all the same. Even without a session, the child needs its own table.
  return copy_mapped_table(ts->process, f.table) ? error : -ENOMEM;
}
long go_on_in_parent(ThreadState* ts, u64 where) {
  auto& f = *reinterpret_cast<Forking*>(where);
  finish_fork_in_parent(ts->process, f.session);
  drop_table(f.table);
  return 0;
}
long go_on_in_child(ThreadState* ts, u64 where) {
  const auto& f = *reinterpret_cast<Forking*>(where);
  begin_child(ts, f.table, f.company);
  ForkedSession session = f.session;
  finish_fork_in_child(ts, session);
  return 0;
}

// No signal handler of the program may run between the two forks.
void before_fork() {
  u64 mask;
  set_mask(~kSynchronous, &mask);
  Forking* f;
  while (!(f = find(0))) raw(__NR_sched_yield);
  f->mask = mask;
  f->session = ForkedSession{};
  f->table = nullptr;
  run_inside(fork_session, ptr(f));
}
void after_fork(Errand errand) {
  Forking* f = find(fs_base());
  if (!f) return;
  run_inside(errand, ptr(f));
  const u64 mask = f->mask;
  __atomic_store_n(&f->thread, 0, __ATOMIC_RELEASE);
  set_mask(mask, nullptr);
}
void after_fork_in_parent() {
  after_fork(go_on_in_parent);
}
void after_fork_in_child() {
  for (Forking& f : forking) {
    if (f.thread != fs_base()) f.thread = 0;
  }
  after_fork(go_on_in_child);
}

long remember(ThreadState* ts, u64 pid) {
  if (ts->process->session().status == SessionStatus::kLive)
    remember_child(ts->process, static_cast<long>(pid));
  return 0;
}

}  // namespace

void prepare_forks() {
  libc_fork = real<Fork>("fork");
  if (libc::__register_atfork)
    libc::__register_atfork(before_fork, after_fork_in_parent, after_fork_in_child, nullptr);
}

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, fork) {
  if (!libc_fork) libc_fork = real<Fork>("fork");
  const int pid = libc_fork();
  if (pid > 0 && hook_started()) run_inside(remember, number(pid));
  return pid;
}
MINO_EXPORT(int, __fork) {
  return fork();
}
MINO_EXPORT(int, _Fork) {
  if (hook_started()) before_fork();
  const int pid = real<Fork>("_Fork")();
  if (hook_started()) pid == 0 ? after_fork_in_child() : after_fork_in_parent();
  if (pid > 0 && hook_started()) run_inside(remember, number(pid));
  return pid;
}

}  // namespace mino::libc
