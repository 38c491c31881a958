// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/fork.h. A child starts in one of two ways:
//   own memory      (fork) It continues in this C++ code, on its own copy of the hook's stack.
//   shared memory   (threads, vfork, posix_spawn) It starts in mino_clone_vm (hook/catch/entry.S)
//                   with its own ThreadState, on the stack that the caller gave or, for vfork, on
//                   the caller's stack.
#include "hook/calls/fork.h"

#include "hook/base/limits.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/epoll.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/handler.h"
#include "hook/catch/disarm.h"
#include "hook/catch/entry.h"
#include "hook/catch/held_signals.h"
#include "hook/catch/on_signal.h"
#include "hook/catch/patch.h"
#include "hook/catch/signal_stack.h"
#include "hook/catch/sud.h"
#include "hook/device/attach.h"
#include "hook/device/children.h"
#include "hook/device/credentials.h"
#include "hook/device/fork.h"
#include "hook/device/lanes.h"
#include "hook/device/session_memory.h"
#include "hook/device/sharing.h"
#include "hook/device/user_namespaces.h"
#include "hook/state/filters.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

// The arguments of fork, vfork, clone or clone3 in one form.
struct Request {
  clone_args args{};
  u64 size = 0;  // clone3: bytes of the caller's structure
  bool clone3 = false;
};

// As Linux's clone3_stack_valid(). The kernel does not see the program's stack.
bool has_good_stack(const clone_args& a) {
  constexpr u64 kTaskSizeMax = (1ull << 47) - 4096;
  if (a.stack == 0) return a.stack_size == 0;
  return a.stack_size != 0 && a.stack <= kTaskSizeMax && a.stack_size <= kTaskSizeMax - a.stack;
}

// A structure that is longer than the one known here: what is more must be zero, as for a kernel
// that is older than the program.
bool read_clone_args(u64 from, u64 size, clone_args& a) {
  constexpr u64 kMost = 4096;
  if (size < CLONE_ARGS_SIZE_VER0 || size > kMost) return false;
  if (!user_read(from, &a, min(size, sizeof a))) return false;
  for (u64 at = sizeof a; at < size; at++) {
    u8 byte;
    if (!user_read(from + at, &byte, 1) || byte) return false;
  }
  return has_good_stack(a);
}

// False if the kernel will refuse it.
bool read_request(const Frame& f, u64 number, Request& request) {
  clone_args& a = request.args;
  if (number == static_cast<u64>(__NR_fork)) {
    a.exit_signal = SIGCHLD;
  } else if (number == static_cast<u64>(__NR_vfork)) {
    a.flags = CLONE_VM | CLONE_VFORK;
    a.exit_signal = SIGCHLD;
  } else if (number == static_cast<u64>(__NR_clone)) {
    a.flags = f.rdi & ~u64{CSIGNAL};
    a.exit_signal = f.rdi & CSIGNAL;
    a.stack = f.rsi;
    a.parent_tid = f.rdx;
    a.child_tid = f.r10;
    a.tls = f.r8;
  } else {
    request.clone3 = true;
    request.size = min(f.rsi, sizeof a);
    return read_clone_args(f.rdi, f.rsi, a);
  }
  return true;
}

// Makes the kernel call for a request. `stack`: the child's stack pointer, or 0 for the caller's.
long kernel_clone(const Request& request, u64 stack, bool into_shared_memory) {
  if (request.clone3) {
    clone_args a = request.args;
    if (stack) {
      // clone3 wants the lowest byte and the size; the child starts at their sum.
      a.stack = stack - 4096;
      a.stack_size = 4096;
    } else {
      a.stack = a.stack_size = 0;
    }
    return into_shared_memory ? mino_clone_vm(__NR_clone3, ptr(&a), request.size, 0, 0, 0)
                              : raw(__NR_clone3, ptr(&a), request.size);
  }
  const clone_args& a = request.args;
  const u64 flags = a.flags | a.exit_signal;
  return into_shared_memory
             ? mino_clone_vm(__NR_clone, flags, stack, a.parent_tid, a.child_tid, a.tls)
             : raw(__NR_clone, flags, stack, a.parent_tid, a.child_tid, a.tls);
}

// After CLONE_CLEAR_SIGHAND, which has removed the hook's handlers too.
void clear_handlers(Process* process) {
  for (int sig = 0; sig < 65; sig++) {
    if (process->actions[sig].handler > reinterpret_cast<u64>(SIG_IGN))
      process->actions[sig] = SigAction{};
  }
  SigAction keep[65];
  copy(keep, process->actions, sizeof keep);
  install_signal_handlers(process);
  copy(process->actions, keep, sizeof keep);
}

}  // namespace

void begin_child(ThreadState* ts, void* table, bool company, bool same_table) {
  Process* process = ts->process;
  if (!same_table) {
    take_table(process, table);
    process->unsettled = company;
    if (company) fill(process->epoll_waiters, 0, u64{process->table()->fd_limit} * 2);
  }
  forget_other_threads(ts, same_table);
  forget_held_in_child(ts);
  forget_lane_memory();
  reset_limits();
  ts->trace_me = false;
  set_main_process(process);
  process->threads = 0;
  process->shares_memory = false;
  process->children->count = process->children->lock = 0;
  reset_filter_lock();
  reset_shadow();
  TableChange::reset();
  expect_other_threads(false);
}

namespace {

// The namespaces that a child is born into and that the device makes, too.
u64 new_spaces(u64 flags) {
  return flags & (settings.netns ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWUSER);
}

// A child with its own memory: fork, and clone without CLONE_VM.
long fork_process(ThreadState* ts, const Request& request) {
  Process* process = ts->process;
  const bool same_table = request.args.flags & CLONE_FILES;
  ForkedSession session;
  u32 client = 0;
  void* table = nullptr;
  if (!same_table) share_epoll_sets(ts);
  if (const long error = same_table ? share_table(ts, false, client) : prepare_fork(ts, session))
    return error;
  if (!same_table && !copy_mapped_table(process, table)) {
    finish_fork_in_parent(process, session);
    return -ENOMEM;
  }
  const bool company = has_company(ts);
  const u64 stack = request.clone3 && request.args.stack
                        ? request.args.stack + request.args.stack_size
                        : request.args.stack;
  pause_patching();
  const long pid = with_limits_at_rest([&] { return kernel_clone(request, 0, false); });
  resume_patching();
  if (pid != 0) {
    finish_fork_in_parent(process, session);
    drop_table(table);
    if ((session.present || same_table) && !is_error(pid)) remember_child(process, pid);
    return pid;
  }
  if (request.args.flags & CLONE_SETTLS) enter_thread(ts, request.args.tls);
  begin_child(ts, table, company, same_table);
  if (request.args.flags & CLONE_CLEAR_SIGHAND) clear_handlers(process);
  if (same_table)
    join_table(ts, client);
  else
    finish_fork_in_child(ts, session);
  if (const u64 spaces = new_spaces(request.args.flags)) enter_new_users(ts, spaces);
  if (settings.sud && !is_disarmed()) arm_dispatch();
  if (stack) ts->frame.rsp = stack;
  return 0;
}

// A child that shares this memory.
long clone_sharing(ThreadState* ts, const Request& request) {
  const clone_args& a = request.args;
  Process* process = ts->process;
  const bool same_table = a.flags & CLONE_FILES, thread = a.flags & CLONE_THREAD;
  const bool same_process = same_table && thread;
  const bool same_fs_base = !(a.flags & CLONE_SETTLS);
  u64 stack = request.clone3 && a.stack ? a.stack + a.stack_size : a.stack;
  if (!stack) stack = ts->frame.rsp;  // vfork: on the caller's stack, below what it uses
  ForkedSession session;
  Process* child_process = process;
  // A vfork child only executes another program.
  if (!same_table) share_epoll_sets(ts, a.flags & CLONE_VFORK);
  if (!same_process) {
    u32 client = 0;
    if (const long error = same_table ? share_table(ts, true, client) : prepare_fork(ts, session))
      return error;
    child_process = copy_process(*process, a.flags);
    if (!child_process) {
      finish_fork_in_parent(process, session);
      return -ENOMEM;
    }
    if (same_table) child_process->client = client;
    child_process->joins = same_table;
    child_process->spaces = new_spaces(a.flags);
    child_process->unsettled = !same_table && has_company(ts);
    child_process->threads = thread;
    child_process->newborn = session.present;
    child_process->birth = session.session;
  } else if (process->threads) {
    __atomic_fetch_add(&process->threads, 1u, __ATOMIC_RELAXED);
  }
  // A thread that ended unseen (its exit is a site that `patch` could not rewrite) leaves its state
  // and its lane to the thread that gets its TCB next.
  ThreadState* child = same_process && !same_fs_base ? inherit_thread(a.tls, process) : nullptr;
  if (child && child->has_lane && !lane_has_credentials(child)) release_lane(child);
  if (!child) child = make_thread(child_process);
  const auto give_up = [&](long error) {
    if (!same_process) {
      finish_fork_in_parent(process, session);
      free_process(child_process);
    } else if (process->threads) {
      __atomic_fetch_sub(&process->threads, 1u, __ATOMIC_RELAXED);
    }
    return error;
  };
  if (!child) return give_up(-ENOMEM);
  child->frame = ts->frame;
  child->frame.rax = 0;
  child->hidden_mask = ts->hidden_mask;
  if (a.flags & CLONE_VFORK) child->alternate = ts->alternate;
  inherit_filters(child, ts);
  child->in_hook = kInside;
  const bool vfork = a.flags & CLONE_VFORK;
  const bool takes_place = same_fs_base && vfork;
  child->suspended = takes_place ? ts : nullptr;
  child->clear_handlers = a.flags & CLONE_CLEAR_SIGHAND;
  if (!user_write(stack - 136, &child, 8)) {
    child->in_hook = kOutside;
    leave_thread(child);
    return give_up(-EFAULT);
  }
  if (!same_fs_base)
    enter_thread(child, a.tls);
  else if (!vfork)
    add_twin(ts, child);
  if (!vfork) {
    expect_other_threads(true);
    rearm();
  }
  const bool was_disarmed = is_disarmed();
  // Signals are blocked until the clone has returned. A signal before it would be deferred, and the
  // child would inherit the mask that belongs to that. A signal while a vfork child runs would find
  // the child's state in the parent's place. The child leaves the hook as if a signal had been
  // deferred, and thereby gets the right mask.
  const u64 all = ~kSynchronous;
  u64 mask = 0;
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&all), ptr(&mask), 8);
  if (ts->deferred & kQueued) mask = ts->resume_mask;
  child->deferred = kQueued;
  child->restartable = 1;
  child->window_mask = child->resume_mask = mask;
  const long pid = kernel_clone(request, stack, true);
  // The parent. With CLONE_VFORK the child has executed or exited by now.
  if (takes_place) replace_thread(ts->fs_base, ts);
  if (was_disarmed && !is_disarmed()) arm_dispatch();  // the child has armed it for itself
  if (!(ts->deferred & kQueued)) raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&mask), 0, 8);
  if (is_error(pid) || vfork) {
    child->in_hook = kOutside;
    if (takes_place) child->fs_base = 0;
    // It may have left this descriptor table.
    if (child->process != child_process) discard_process(child->process);
    drop_lane_memory(child);
    leave_thread(child);
  }
  if (is_error(pid)) return give_up(pid);
  if (!thread && (session.present || same_table)) remember_child(process, pid);
  if (!same_process) {
    if (vfork) {
      finish_fork_in_parent(process, session);
      if (child_process->session().memory != process->session().memory)
        unmap_session(child_process->session());
      free_process(child_process);
    } else if (session.present) {  // it continues in this memory: close only the descriptor
      close_child_files(process, session.session);
    }
  }
  return pid;
}

}  // namespace

long do_fork(ThreadState* ts, const abi::Row& row) {
  Request request;
  if (!read_request(ts->frame, row.nr, request)) return kLocal;  // EINVAL, E2BIG or EFAULT
  return request.args.flags & CLONE_VM ? clone_sharing(ts, request) : fork_process(ts, request);
}

}  // namespace mino::hook

// The first thing that a child with shared memory does, on its own hook stack.
extern "C" __attribute__((visibility("hidden"))) void mino_child_start(
    mino::hook::ThreadState* ts) {
  using namespace mino::hook;
  ts->tid = static_cast<u32>(raw(__NR_gettid));
  use_signal_stack(ts, false);
  if (ts->suspended) replace_thread(ts->suspended->fs_base, ts);
  if (ts->process->shares_memory && !ts->process->started) {
    ts->process->started = true;
    if (ts->process->unsettled && ts->suspended) forget_closed(ts->process, ts->suspended->process);
    if (ts->process->joins) join_session(ts->process);
    ForkedSession session{ts->process->newborn, ts->process->birth};
    if (!ts->process->joins) finish_fork_in_child(ts, session);
    if (ts->process->spaces) enter_new_users(ts, ts->process->spaces);
  }
  if (ts->clear_handlers) clear_handlers(ts->process);
  if (settings.sud && !is_disarmed()) arm_dispatch();
}
