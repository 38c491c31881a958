// SPDX-License-Identifier: Apache-2.0
//
// fork, vfork, clone, clone3, exec and exit, and the calls that change who the process is.
//
// A new process gets its session before it exists: the device forks the proxy (whose descriptors
// are copied by the device's kernel), then the host forks. What the child is, decides how it
// starts:
//   own memory       runs on in this C++ code, on its own copy of the hook's stack;
//   shared memory    (threads, vfork, posix_spawn) begins at mino_clone_vm with a ThreadState of
//   its own, on the stack
//                    that the caller gave or, for vfork, on the caller's own; see entry.S.
#include "hook/base/mem.h"
#include "hook/base/proc.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/paths.h"
#include "hook/calls/seccomp.h"
#include "hook/catch/disarm.h"
#include "hook/catch/on_signal.h"
#include "hook/catch/patch.h"
#include "hook/catch/sud.h"
#include "hook/device/sharing.h"
#include "hook/start/environment.h"

extern "C" {
long mino_clone_vm(long nr, mino::hook::u64, mino::hook::u64, mino::hook::u64, mino::hook::u64,
                   mino::hook::u64) __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {

constexpr u64 kCloneVm = 0x100, kCloneVfork = 0x4000, kCloneSettls = 0x80000,
              kCloneClearSighand = 0x100000000, kSigChld = 17;

struct CloneArgs {  // include/uapi/linux/sched.h
  u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
      set_tid_size, cgroup;
};

// fork, vfork, clone and clone3 in one form.
struct Request {
  CloneArgs args{};
  u64 size = 0;  // clone3: of the caller's structure
  bool clone3 = false;
};

bool read_request(const Frame& f, u64 number, Request& request) {
  CloneArgs& a = request.args;
  if (number == static_cast<u64>(nr::kFork)) {
    a.exit_signal = kSigChld;
  } else if (number == static_cast<u64>(nr::kVfork)) {
    a.flags = kCloneVm | kCloneVfork;
    a.exit_signal = kSigChld;
  } else if (number == static_cast<u64>(nr::kClone)) {
    a.flags = f.rdi & ~0xffull;
    a.exit_signal = f.rdi & 0xff;
    a.stack = f.rsi;
    a.parent_tid = f.rdx;
    a.child_tid = f.r10;
    a.tls = f.r8;
  } else {
    request.clone3 = true;
    request.size = f.rsi;
    return f.rsi >= 64 && f.rsi <= sizeof a && user_read(f.rdi, &a, f.rsi);
  }
  return true;
}

// The kernel call for a request, with the stack pointer the child shall start on (0: the caller's).
long kernel_clone(const Request& request, u64 stack, bool into_shared_memory) {
  if (request.clone3) {
    CloneArgs a = request.args;
    if (stack) {
      // clone3 wants the lowest byte and the size; the child starts at their sum.
      a.stack = stack - 4096;
      a.stack_size = 4096;
    } else {
      a.stack = a.stack_size = 0;
    }
    return into_shared_memory ? mino_clone_vm(nr::kClone3, ptr(&a), request.size, 0, 0, 0)
                              : raw(nr::kClone3, ptr(&a), request.size);
  }
  const CloneArgs& a = request.args;
  const u64 flags = a.flags | a.exit_signal;
  return into_shared_memory
             ? mino_clone_vm(nr::kClone, flags, stack, a.parent_tid, a.child_tid, a.tls)
             : raw(nr::kClone, flags, stack, a.parent_tid, a.child_tid, a.tls);
}

// CLONE_CLEAR_SIGHAND took the hook's handlers too.
void clear_handlers(Process* process) {
  for (int sig = 0; sig < 65; sig++) {
    if (process->actions[sig].handler > 1) process->actions[sig] = SigAction{};
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
  ts->trace_me = false;
  set_main_process(process);
  process->threads = 0;
  process->shares_memory = false;
  process->children->count = process->children->lock = 0;
  reset_locks_in_child();
  expect_other_threads(false);
}

namespace {

// A child with memory of its own: fork, and clone without CLONE_VM.
long fork_process(ThreadState* ts, const Request& request) {
  Process* process = ts->process;
  const bool same_table = request.args.flags & kCloneFiles;
  ForkedSession session;
  u32 client = 0;
  void* table = nullptr;
  if (const long error = same_table ? share_table(ts, false, client) : prepare_fork(ts, session))
    return error;
  if (!same_table && !copy_mapped_table(process, table)) {
    finish_fork_in_parent(process, session);
    return err::kNoMem;
  }
  const bool company = has_company(ts);
  const u64 stack = request.clone3 && request.args.stack
                        ? request.args.stack + request.args.stack_size
                        : request.args.stack;
  pause_patching();
  const long pid = kernel_clone(request, 0, false);
  resume_patching();
  if (pid != 0) {
    finish_fork_in_parent(process, session);
    drop_table(table);
    if ((session.present || same_table) && !is_error(pid)) remember_child(process, pid);
    return pid;
  }
  if (request.args.flags & kCloneSettls) enter_thread(ts, request.args.tls);
  begin_child(ts, table, company, same_table);
  if (request.args.flags & kCloneClearSighand) clear_handlers(process);
  if (same_table)
    join_table(ts, client);
  else
    finish_fork_in_child(ts, session);
  if (settings.sud && !at_rest()) arm_dispatch();
  if (stack) ts->frame.rsp = stack;
  return 0;
}

// A child that shares our memory.
long clone_sharing(ThreadState* ts, const Request& request) {
  const CloneArgs& a = request.args;
  Process* process = ts->process;
  const bool same_table = a.flags & kCloneFiles, thread = a.flags & kCloneThread;
  const bool same_process = same_table && thread;
  const bool same_fs_base = !(a.flags & kCloneSettls);
  u64 stack = request.clone3 && a.stack ? a.stack + a.stack_size : a.stack;
  if (!stack) stack = ts->frame.rsp;  // vfork: on the caller's stack, below what it uses
  ForkedSession session;
  Process* child_process = process;
  if (!same_process) {
    u32 client = 0;
    if (const long error = same_table ? share_table(ts, true, client) : prepare_fork(ts, session))
      return error;
    child_process = copy_process(*process, a.flags);
    if (!child_process) {
      finish_fork_in_parent(process, session);
      return err::kNoMem;
    }
    if (same_table) child_process->client = client;
    child_process->joins = same_table;
    child_process->unsettled = !same_table && has_company(ts);
    child_process->threads = thread;
    child_process->newborn = session.present;
    child_process->birth = session.session;
  } else if (process->threads) {
    __atomic_fetch_add(&process->threads, 1u, __ATOMIC_RELAXED);
  }
  // A thread that ended unseen (its exit is a site that `patch` cannot prove) leaves its state to
  // whoever gets its TCB, with the lane.
  ThreadState* child = same_process && !same_fs_base ? inherit_thread(a.tls, process) : nullptr;
  if (child && child->has_lane && !lane_has_rights(child)) release_lane(child);
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
  if (!child) return give_up(err::kNoMem);
  child->frame = ts->frame;
  child->frame.rax = 0;
  child->hidden_mask = ts->hidden_mask;
  inherit_filters(child, ts);
  child->in_hook = kInside;
  const bool vfork = a.flags & kCloneVfork;
  const bool takes_place = same_fs_base && vfork;
  child->suspended = takes_place ? ts : nullptr;
  child->clear_handlers = a.flags & kCloneClearSighand;
  if (!user_write(stack - 136, &child, 8)) {
    child->in_hook = kOutside;
    leave_thread(child);
    return give_up(err::kFault);
  }
  if (!same_fs_base)
    enter_thread(child, a.tls);
  else if (!vfork)
    add_twin(ts, child);
  if (!vfork) {
    expect_other_threads(true);
    end_rest();
  }
  const bool was_at_rest = at_rest();
  // No signal comes to the parent until it has its child: it would be deferred, and the mask of
  // that state be the child's; and a signal as a vfork's child executes would find that one's state
  // in the parent's place. The child leaves as if one had been deferred, with the right mask.
  constexpr u64 kSetmask = 2;
  const u64 all = ~kSynchronous;
  u64 mask = 0;
  raw(nr::kRtSigprocmask, kSetmask, ptr(&all), ptr(&mask), 8);
  if (ts->deferred) mask = ts->resume_mask;
  child->deferred = child->restartable = 1;
  child->window_mask = child->resume_mask = mask;
  const long pid = kernel_clone(request, stack, true);
  // The parent. With CLONE_VFORK the child has exec'ed or exited by now.
  if (takes_place) replace_thread(ts->fs_base, ts);
  if (was_at_rest && !at_rest()) arm_dispatch();  // the child has ended that, for itself
  if (!ts->deferred) raw(nr::kRtSigprocmask, kSetmask, ptr(&mask), 0, 8);
  if (is_error(pid) || vfork) {
    child->in_hook = kOutside;
    if (takes_place) child->fs_base = 0;
    if (child->process != child_process) discard_process(child->process);  // it left our table
    leave_thread(child);
  }
  if (is_error(pid)) return give_up(pid);
  if (!thread && (session.present || same_table)) remember_child(process, pid);
  if (!same_process) {
    if (vfork) {
      finish_fork_in_parent(process, session);
      free_process(child_process);
    } else if (session.present) {  // it runs on in our memory: only the descriptor is ours to close
      close_private(process, session.session.socket);
    }
  }
  return pid;
}

}  // namespace

long do_fork(ThreadState* ts, const abi::Row& row) {
  Request request;
  if (!read_request(ts->frame, row.nr, request)) return kLocal;  // the kernel's EINVAL or EFAULT
  return request.args.flags & kCloneVm ? clone_sharing(ts, request) : fork_process(ts, request);
}

namespace {

// The path that an execve or execveat means, where it has one; false if not.
bool exec_path(const Frame& f, bool at, char* path) {
  constexpr u64 kEmptyPath = 0x1000;
  const int directory = static_cast<int>(f.rdi);
  char name[kMaxProgramPath];
  const i64 n = user_string(at ? f.rsi : f.rdi, name, sizeof name);
  if (n < 1 || (n == 1 && !(at && (f.r8 & kEmptyPath)))) return false;
  u64 used = 0;
  if (at && name[0] != '/' && directory >= 0) {
    char link[40];
    print_number(print(link, "/proc/self/fd/"), static_cast<u64>(directory))[0] = 0;
    const long got = raw(nr::kReadlink, ptr(link), ptr(path), kMaxProgramPath);
    if (got <= 0 || path[0] != '/' || static_cast<u64>(got + n) >= kMaxProgramPath) return false;
    used = static_cast<u64>(got);
    if (n > 1) path[used++] = '/';
  }
  copy(path + used, name, static_cast<u64>(n));
  return true;
}

// To load a static program, the hook makes calls that such a program needs not be allowed.
bool may_look(const ThreadState* ts, const char* path) {
  if (!ts->filters ||
      (filters_allow_own(ts, nr::kOpenat, kFdCwd, ptr(path)) &&
       filters_allow_own(ts, nr::kMmap, 0, 4096, 1) && filters_allow_own(ts, nr::kClose, 3)))
    return true;
  char text[kMaxProgramPath + 160];
  char* end = print(print(text, "mino: "), path);
  end = print(end,
              ": the seccomp filter does not let mino look at it (openat, mmap, close); if it is a "
              "static program, its calls stay on the host\n");
  raw(nr::kWrite, 2, ptr(text), static_cast<u64>(end - text));
  return false;
}

constexpr int kPtrace = 101;

// PTRACE_TRACEME takes effect where its tracer looks for the first stop: at an exec, a signal to
// itself or a fault. From then on each trap is a stop (SIGSYS), and a tracer that waits for the
// exec (Go's reads a pipe that the exec closes) would wait for ever.
long trace_me_later(ThreadState* ts, const Frame& f) {
  constexpr u64 kTraceMe = 0;
  if (!settings.sud || f.rdi != kTraceMe) return kLocal;
  if (ts->trace_me) return err::kPerm;
  u64 tracer = 0;
  if (!ts->filters && read_status("\nTracerPid:\t", 10, tracer) && tracer) return kLocal;  // EPERM
  ts->trace_me = true;
  return 0;
}

}  // namespace

bool be_traced(ThreadState* ts) {
  if (!ts->trace_me) return false;
  ts->trace_me = false;
  return raw(kPtrace) == 0;
}

long do_exec(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const bool at = row.nr == nr::kExecveat;
  const u64 argv = at ? f.rdx : f.rsi, envp = at ? f.r10 : f.rdx;
  ProgramFile file;
  char path[kMaxProgramPath];
  const bool named = exec_path(f, at, path);
  const bool own = named && is_own_executable(path);
  if (own) print(path, settings.executable)[0] = 0;
  // Without the trap, programs that ld.so does not start would run unseen, behind a foreign name.
  constexpr u64 kExecute = 1;
  const bool load = named && settings.sud && settings.library[0] && may_look(ts, path) &&
                    needs_loading(path, settings.load_all, file) &&
                    raw(nr::kFaccessat2, kFdCwd, ptr(settings.library), kExecute, 0) == 0;
  // The kernel gives the new image a table of its own, and the device has to.
  if (ts->process->table()->shared && named && may_look(ts, path) &&
      raw(nr::kFaccessat2, kFdCwd, ptr(path), kExecute, 0) == 0) {
    if (const long error = own_table(ts, kCloneFiles)) return error;
  }
  int filters = -1;
  if (ts->filters) {
    const long fd = save_filters(ts->filters);
    if (is_error(fd)) return fd;
    filters = make_private(ts->process, static_cast<int>(fd));
  }
  ExecEnvironment environment(ts->process, envp, load ? &file : nullptr, path, argv, filters);
  if (!environment.valid()) {
    close_private(ts->process, filters);
    return kLocal;
  }
  keep_across_exec(ts->process, true);
  constexpr u64 kFSetFd = 2;
  if (filters >= 0) raw(nr::kFcntl, static_cast<u64>(filters), kFSetFd, 0);
  be_traced(ts);
  const u64 in_place[6] = {f.rdi, f.rsi, at ? argv : environment.pointer(), environment.pointer(),
                           f.r8};
  const u64 by_path[6] = {ptr(load ? settings.library : path), environment.arguments(),
                          environment.pointer()};
  long result = load || own ? mino_interruptible(ts, nr::kExecve, by_path)
                            : mino_interruptible(ts, row.nr, in_place);
  keep_across_exec(ts->process, false);
  close_private(ts->process, filters);
  // A signal was deferred: its handler runs first, and the new image must not inherit our mask.
  if (result == abi::kErestartsys) result = abi::kErestartnointr;
  return result;
}

long do_exit(ThreadState* ts, const abi::Row& row) {
  if (row.nr == nr::kExitGroup) {
    // A process that shares its parent's memory must not leave its state there.
    if (ts->process->table()->shared) release_lane(ts);
    if (ts->process->shares_memory && !ts->suspended) leave_thread(ts);
    return kLocal;
  }
  release_lane(ts);
  leave_process(ts);
  leave_thread(ts);
  return kLocal;
}

namespace {

struct ChildInfo {  // the part of siginfo_t that waitid fills
  int signo, error, code, pad, pid;
  u32 uid;
  int status;
  char rest[100];
};

// waitid(which, pid, info, options, usage)
long wait_id(ThreadState* ts, const Frame& f) {
  constexpr u64 kNoWait = 0x01000000;
  ChildInfo info{};
  const u64 args[6] = {f.rdi, f.rsi, ptr(&info), f.r10, f.r8};
  constexpr long kWaitid = 247;
  const long result = mino_interruptible(ts, kWaitid, args);
  if (result != 0) return result;
  constexpr int kExited = 1, kDumped = 3;  // CLD_EXITED, CLD_KILLED, CLD_DUMPED
  if (info.pid > 0 && info.code >= kExited && info.code <= kDumped && !(f.r10 & kNoWait))
    await_end_of_child(ts, info.pid);
  if (f.rdx && (!user_write(f.rdx, &info, 12) || !user_write(f.rdx + 16, &info.pid, 12)))
    return err::kFault;
  return 0;
}

}  // namespace

long do_wait(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const Process* process = ts->process;
  if (process->children->count == 0 || process->session().status != SessionStatus::kLive)
    return kLocal;
  constexpr int kWait4 = 61;
  if (row.nr != kWait4) return wait_id(ts, f);
  int status = 0;
  const u64 args[6] = {f.rdi, ptr(&status), f.rdx, f.r10};
  const long pid = mino_interruptible(ts, row.nr, args);
  if (pid <= 0) return pid;
  constexpr int kStopped = 0x7f, kContinued = 0xffff;
  if ((status & 0xff) != kStopped && status != kContinued) await_end_of_child(ts, pid);
  if (f.rsi && !user_write(f.rsi, &status, sizeof status)) return err::kFault;
  return pid;
}

namespace {

// Does this call leave the process with fewer ways to reach the device than it has now? A program
// that sets the ids it has anyway (posix_spawn with POSIX_SPAWN_RESETIDS), or its umask, does not.
bool gives_up_rights(ThreadState* ts, const abi::Row& row) {
  constexpr int kSetuid = 105, kSetgid = 106, kSetreuid = 113, kSetregid = 114, kSetresuid = 117,
                kSetresgid = 119, kUmask = 95;
  constexpr long kGetresuid = 118, kGetresgid = 120;
  if (row.nr == kUmask) return false;
  const bool users = row.nr == kSetuid || row.nr == kSetreuid || row.nr == kSetresuid;
  const bool groups = row.nr == kSetgid || row.nr == kSetregid || row.nr == kSetresgid;
  if (!users && !groups) return true;
  u32 ids[3];
  raw(users ? kGetresuid : kGetresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  const bool all_three = row.nr == kSetresuid || row.nr == kSetresgid;
  const int count = all_three ? 3 : row.nr == kSetreuid || row.nr == kSetregid ? 2 : 1;
  for (int i = 0; i < count; i++) {
    const u32 wanted = static_cast<u32>(ts->frame.arg(i));
    if (wanted != ~0u && wanted != ids[0]) return true;
  }
  return ids[1] != ids[0] || ids[2] != ids[0];
}

}  // namespace

// Credentials: the host decides; the proxy's lane thread then becomes what the client has become. A
// device that refuses keeps its older, as far as it goes lower, rights: it can only be stricter.
long do_mirror(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  const bool gives_up = settings.active && gives_up_rights(ts, row);
  if (gives_up && ts->process->session().status == SessionStatus::kNone)
    ready(ts);  // while we still may
  const long result = raw(row.nr, args[0], args[1], args[2], args[3], args[4]);
  if (is_error(result) || ts->process->session().status != SessionStatus::kLive) return result;
  if (gives_up && row.nr != nr::kPrctl) {
    ts->process->rights_changed = true;
    __atomic_fetch_add(&ts->process->table()->rights_turn, 1u, __ATOMIC_RELAXED);
  }
  // capset names the client's thread, which the device does not know: there it is the lane's own.
  struct {
    u32 version;
    int pid;
  } header{};
  constexpr int kCapset = 126;
  if (row.nr == kCapset && user_read(args[0], &header, sizeof header)) {
    header.pid = 0;
    args[0] = ptr(&header);
  }
  if (ready(ts) == 0) offload(ts, row, args, -1, 0, kNoCancel);
  return result;
}

long do_guard(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kPrSetSyscallUserDispatch = 59;
  constexpr u64 kPrSetKeepcaps = 8;
  if (row.nr == nr::kPrctl && f.rdi == kPrSetKeepcaps) return do_mirror(ts, row);
  constexpr u64 kPrSetMdwe = 65;
  if (row.nr == nr::kPrctl && f.rdi == kPrSetMdwe) end_rest_for_good();  // while that may be done
  // A new thread-control block: the table of threads must know before the program goes on.
  constexpr u64 kArchSetFs = 0x1002;
  if (row.nr == nr::kArchPrctl) {
    const long result = raw(row.nr, f.rdi, f.rsi);
    if (result == 0 && f.rdi == kArchSetFs) move_thread(ts, f.rsi);
    return result;
  }
  constexpr u64 kPrSetSeccomp = 22;
  if (row.nr == nr::kSeccomp || (row.nr == nr::kPrctl && f.rdi == kPrSetSeccomp))
    return do_seccomp(ts, row);
  if (row.nr == nr::kPrctl)
    return f.rdi == kPrSetSyscallUserDispatch && settings.sud ? err::kInval : kLocal;
  if (row.nr == nr::kMunmap) {
    before_change_of_memory(f.rdi, f.rsi);
    return do_munmap(ts);
  }
  if (row.nr == kPtrace) return trace_me_later(ts, f);
  constexpr int kKill = 62, kTkill = 200;
  if (row.nr == kKill || row.nr == kTkill || row.nr == nr::kTgkill) {
    be_traced(ts);
    return kLocal;
  }
  constexpr int kSetrlimit = 160;
  if (row.nr == kSetrlimit || row.nr == nr::kPrlimit64) {
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
  if (row.nr == kUnshare && (f.rdi & kCloneFiles) && table_is_shared(ts)) {
    const long result = own_table(ts, kCloneFiles);
    if (is_error(result) || f.rdi == kCloneFiles) return result;
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

// The first thing a child with shared memory does, on its own hook stack.
extern "C" __attribute__((visibility("hidden"))) void mino_child_start(
    mino::hook::ThreadState* ts) {
  using namespace mino::hook;
  ts->tid = static_cast<u32>(raw(nr::kGettid));
  if (ts->suspended) replace_thread(ts->suspended->fs_base, ts);
  if (ts->process->shares_memory && !ts->process->started) {
    ts->process->started = true;
    if (ts->process->unsettled && ts->suspended) forget_closed(ts->process, ts->suspended->process);
    if (ts->process->joins) join_session(ts->process);
    ForkedSession session{ts->process->newborn, ts->process->birth};
    if (!ts->process->joins) finish_fork_in_child(ts, session);
  }
  if (ts->clear_handlers) clear_handlers(ts->process);
  if (settings.sud && !at_rest()) arm_dispatch();
}
