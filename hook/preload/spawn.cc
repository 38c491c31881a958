// SPDX-License-Identifier: Apache-2.0
//
// posix_spawn, system and popen. libc makes their processes where nothing is seen, so they are made
// here. The child shares the parent's memory until it executes, as in libc, and makes its calls
// through the hook. Attributes and actions are read in the layout of glibc (posix/spawn.h,
// posix/spawn_int.h).
#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/catch/on_signal.h"
#include "hook/preload/exec.h"
#include "hook/preload/libc.h"
#include "hook/state/signal_mask.h"

namespace mino::libc {
struct Cleanup {  // struct _pthread_cleanup_buffer
  void (*routine)(void*);
  void* argument;
  int type;
  Cleanup* before;
};
MINO_LIBC(void, _pthread_cleanup_push, Cleanup* cleanup, void (*routine)(void*), void* argument);
MINO_LIBC(void, _pthread_cleanup_pop, Cleanup* cleanup, int execute);
// Defined in this library.
int clone(int (*fn)(void*), void* stack, int flags, void* argument, ...) asm("clone");
int waitpid(int pid, int* status, int options) asm("waitpid");
void* fdopen(int fd, const char* mode) asm("fdopen");
}  // namespace mino::libc

namespace mino::hook {

struct Attributes {  // posix_spawnattr_t
  i64 flags : 16, pad : 16;
  int group;
  u64 defaults[16], mask[16];
  int priority, policy;
};

struct Action {
  enum Tag : int { kClose, kDup2, kOpen, kChdir, kFchdir, kCloseFrom, kSetForeground } tag;
  int pad;
  union {
    struct {
      int fd, to;
    };
    struct {
      int open_fd;
      const char* open_path;
      int open_flags;
      u32 open_mode;
    };
    const char* directory;
  };
};
static_assert(sizeof(Action) == 32);

struct Actions {  // posix_spawn_file_actions_t
  int allocated, used;
  const Action* list;
};

namespace {

struct Spawn {
  const char* file;
  bool search;
  const Actions* actions;
  const Attributes* attributes;
  char* const* argv;
  char* const* envp;
  u64 mask;      // the caller's mask
  u64 defaults;  // signals to reset: those with a handler, and POSIX_SPAWN_SETSIGDEF's
  long error;
};

long apply_action(const Action& action) {
  switch (action.tag) {
    case Action::kClose:
      mino_call(__NR_close, number(action.fd));
      return 0;
    case Action::kDup2: {
      if (action.fd != action.to) return mino_call(__NR_dup2, number(action.fd), number(action.to));
      const long flags = mino_call(__NR_fcntl, number(action.fd), F_GETFD);
      return is_error(flags) ? flags
                             : mino_call(__NR_fcntl, number(action.fd), F_SETFD,
                                         static_cast<u64>(flags) & ~u64{FD_CLOEXEC});
    }
    case Action::kOpen: {
      mino_call(__NR_close, number(action.open_fd));
      const long fd =
          mino_call(__NR_open, ptr(action.open_path), number(action.open_flags), action.open_mode);
      if (is_error(fd) || fd == action.open_fd) return fd;
      const long moved = mino_call(__NR_dup2, static_cast<u64>(fd), number(action.open_fd));
      mino_call(__NR_close, static_cast<u64>(fd));
      return moved;
    }
    case Action::kChdir:
      return mino_call(__NR_chdir, ptr(action.directory));
    case Action::kFchdir:
      return mino_call(__NR_fchdir, number(action.fd));
    case Action::kCloseFrom:
      return mino_call(__NR_close_range, number(action.fd), ~0u, 0);
    case Action::kSetForeground: {
      const int group = static_cast<int>(raw(__NR_getpgrp));
      return mino_call(__NR_ioctl, number(action.fd), TIOCSPGRP, ptr(&group));
    }
  }
  return -EINVAL;
}

long apply_attributes(const Attributes& a) {
  const u64 flags = static_cast<u64>(a.flags);
  long result = 0;
  if ((flags & (kSetParameters | kSetScheduler)) == kSetParameters)
    result = raw(__NR_sched_setparam, 0, ptr(&a.priority));
  else if (flags & kSetScheduler)
    result = raw(__NR_sched_setscheduler, 0, number(a.policy), ptr(&a.priority));
  if (!is_error(result) && (flags & kSetSession)) result = raw(__NR_setsid);
  if (!is_error(result) && (flags & kSetGroup)) result = raw(__NR_setpgid, 0, number(a.group));
  if (!is_error(result) && (flags & kResetIds)) {
    const u64 user = static_cast<u64>(raw(__NR_getuid)), group = static_cast<u64>(raw(__NR_getgid));
    result = mino_call(__NR_setresgid, ~0u, group, ~0u);
    if (!is_error(result)) result = mino_call(__NR_setresuid, ~0u, user, ~0u);
  }
  return result;
}

// The child up to its exec. Returns only an error.
long execute_child(Spawn& spawn) {
  for (int sig = 1; sig <= 64; sig++) {
    const SigAction standard{};
    if (spawn.defaults & bit(sig)) mino_call(__NR_rt_sigaction, number(sig), ptr(&standard), 0, 8);
  }
  if (spawn.attributes) {
    if (const long error = apply_attributes(*spawn.attributes); is_error(error)) return error;
  }
  for (int i = 0; spawn.actions && i < spawn.actions->used; i++) {
    if (const long error = apply_action(spawn.actions->list[i]); is_error(error)) return error;
  }
  const bool own_mask = spawn.attributes && (static_cast<u64>(spawn.attributes->flags) & kSetMask);
  const u64 mask = own_mask ? spawn.attributes->mask[0] : spawn.mask;
  mino_call(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&mask), 0, 8);
  if (!spawn.search)
    return mino_call(__NR_execve, ptr(spawn.file), ptr(spawn.argv), ptr(spawn.envp));
  return execute_named(spawn.file, spawn.argv, spawn.envp, false);
}

int run_child(void* argument) {
  auto& spawn = *static_cast<Spawn*>(argument);
  const long error = execute_child(spawn);
  if (is_error(error)) spawn.error = error;
  constexpr u64 kFailed = 127;
  for (;;) mino_call(__NR_exit_group, kFailed);
}

// 0 or the error number, as posix_spawn returns it.
int start(int* pid, Spawn& spawn) {
  constexpr u64 kStackBytes = 64 << 10;
  constexpr int kMemoryVforkChild = CLONE_VM | CLONE_VFORK | SIGCHLD;
  u8* const stack = static_cast<u8*>(map_pages(kStackBytes));
  if (!stack) return ENOMEM;
  const u64 all = ~u64{0};
  int* const error = libc::__errno_location();
  const int error_before = *error;
  mino_call(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&all), ptr(&spawn.mask), 8);
  const bool chosen =
      spawn.attributes && (static_cast<u64>(spawn.attributes->flags) & kSetDefaults);
  spawn.defaults = chosen ? spawn.attributes->defaults[0] : 0;
  for (int sig = 1; sig <= 64; sig++) {
    if (this_process()->actions[sig].handler > reinterpret_cast<u64>(SIG_IGN))
      spawn.defaults |= bit(sig);
  }
  const int child = libc::clone(run_child, stack + kStackBytes, kMemoryVforkChild, &spawn);
  long result = child < 0 ? -i64{*error} : spawn.error;
  if (child > 0 && spawn.error) {
    int status;
    mino_call(__NR_wait4, number(child), ptr(&status));
  } else if (child > 0 && pid) {
    *pid = child;
  }
  mino_call(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&spawn.mask), 0, 8);
  unmap_pages(stack, kStackBytes);
  *error = error_before;
  return static_cast<int>(-result);
}

// Starts a shell that runs `command`.
int start_shell(int* pid, const char* command, const Actions* actions,
                const Attributes* attributes) {
  const char* argv[] = {"sh", "-c", command, nullptr};
  Spawn spawn{};
  spawn.file = "/bin/sh";
  spawn.actions = actions;
  spawn.attributes = attributes;
  spawn.argv = const_cast<char* const*>(argv);
  spawn.envp = libc::environment;
  return start(pid, spawn);
}

// SIGINT and SIGQUIT are ignored while any thread is in system(). The first thread saves their
// actions, the last restores them.
struct Ignored {
  u32 lock, users;
  SigAction interrupt, quit;
} ignored;

void begin_ignoring(Attributes& attributes) {
  const SigAction ignore{reinterpret_cast<u64>(SIG_IGN), 0, 0, 0};
  lock(ignored.lock);
  if (ignored.users++ == 0) {
    mino_call(__NR_rt_sigaction, SIGINT, ptr(&ignore), ptr(&ignored.interrupt), 8);
    mino_call(__NR_rt_sigaction, SIGQUIT, ptr(&ignore), ptr(&ignored.quit), 8);
  }
  if (ignored.interrupt.handler != ignore.handler) attributes.defaults[0] |= bit(SIGINT);
  if (ignored.quit.handler != ignore.handler) attributes.defaults[0] |= bit(SIGQUIT);
  unlock(ignored.lock);
}

void end_ignoring() {
  lock(ignored.lock);
  if (--ignored.users == 0) {
    mino_call(__NR_rt_sigaction, SIGINT, ptr(&ignored.interrupt), 0, 8);
    mino_call(__NR_rt_sigaction, SIGQUIT, ptr(&ignored.quit), 0, 8);
  }
  unlock(ignored.lock);
}

// Like waitpid, but a signal handler does not end it.
int await_shell(int pid, int* status) {
  int got;
  do got = libc::waitpid(pid, status, 0);
  while (got < 0 && *libc::__errno_location() == EINTR);
  return got;
}

// The thread was cancelled while it waited. As in libc, the shell is killed.
void abandon_shell(void* pid) {
  const u64 shell = number(*static_cast<const int*>(pid));
  mino_call(__NR_kill, shell, SIGKILL);
  while (mino_call(__NR_wait4, shell) == -EINTR) {
  }
  end_ignoring();
}

int await_shell_or_cancellation(int pid, int* status) {
  libc::Cleanup cleanup;
  const bool threads = libc::_pthread_cleanup_push && libc::_pthread_cleanup_pop;
  if (threads) libc::_pthread_cleanup_push(&cleanup, abandon_shell, &pid);
  const int got = await_shell(pid, status);
  if (threads) libc::_pthread_cleanup_pop(&cleanup, 0);
  return got;
}

// Streams made by popen, and their processes.
struct Piped {
  u64 stream;  // 0: free
  int fd, pid;
};
Piped piped[64];

// The process of a stream made by popen; 0 for another stream. The entry becomes free.
int take_process(const void* stream) {
  for (Piped& p : piped) {
    if (__atomic_load_n(&p.stream, __ATOMIC_ACQUIRE) != ptr(stream)) continue;
    const int pid = p.pid;
    __atomic_store_n(&p.stream, 0, __ATOMIC_RELEASE);
    return pid;
  }
  return 0;
}

int close_stream(void* stream) {
  using Close = int (*)(void*);
  static Close close;
  if (!close) close = real<Close>("fclose");
  return close(stream);
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

// A libc other than glibc has other layouts of actions and attributes. (start.cc has reported that
// it is not supported.)
using StartByLibc = int (*)(int*, const char*, const Actions*, const Attributes*, char* const*,
                            char* const*);

MINO_EXPORT(int, posix_spawn, int* pid, const char* path, const Actions* actions,
            const Attributes* attributes, char* const* argv, char* const* envp) {
  if (!gnu_get_libc_version)
    return real<StartByLibc>("posix_spawn")(pid, path, actions, attributes, argv, envp);
  Spawn spawn{path, false, actions, attributes, argv, envp, 0, 0, 0};
  return start(pid, spawn);
}
MINO_EXPORT(int, posix_spawnp, int* pid, const char* file, const Actions* actions,
            const Attributes* attributes, char* const* argv, char* const* envp) {
  if (!gnu_get_libc_version)
    return real<StartByLibc>("posix_spawnp")(pid, file, actions, attributes, argv, envp);
  Spawn spawn{file, true, actions, attributes, argv, envp, 0, 0, 0};
  return start(pid, spawn);
}

MINO_EXPORT(int, system, const char* command) {
  if (!command) return 1;
  Attributes attributes{};
  attributes.flags = kSetDefaults | kSetMask;
  const u64 child = bit(SIGCHLD);
  mino_call(__NR_rt_sigprocmask, SIG_BLOCK, ptr(&child), ptr(attributes.mask), 8);
  begin_ignoring(attributes);
  int pid, status = 0x7f00;  // a shell that could not be started: exit status 127
  if (start_shell(&pid, command, nullptr, &attributes) == 0 &&
      await_shell_or_cancellation(pid, &status) != pid)
    status = -1;
  end_ignoring();
  mino_call(__NR_rt_sigprocmask, SIG_SETMASK, ptr(attributes.mask), 0, 8);
  return status;
}

MINO_EXPORT(void*, popen, const char* command, const char* mode) {
  bool reads = false, writes = false, stays = true;
  for (const char* p = mode; *p; p++) {
    reads |= *p == 'r';
    writes |= *p == 'w';
    stays &= *p != 'e';
  }
  if (reads == writes) return answer(-EINVAL), nullptr;
  Piped* entry = nullptr;
  for (Piped& p : piped) {
    u64 free = 0;
    if (__atomic_compare_exchange_n(&p.stream, &free, 1ull, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED)) {
      entry = &p;
      break;
    }
  }
  int ends[2];
  const long made = entry ? mino_call(__NR_pipe2, ptr(ends), O_CLOEXEC) : -EMFILE;
  if (is_error(made)) {
    if (entry) __atomic_store_n(&entry->stream, 0, __ATOMIC_RELEASE);
    return answer(made), nullptr;
  }
  const int ours = ends[reads ? 0 : 1], theirs = ends[reads ? 1 : 0];
  // The child closes the streams that earlier calls of popen opened.
  Action list[1 + sizeof piped / sizeof *piped]{};
  Actions actions{0, 0, list};
  for (const Piped& p : piped) {
    if (p.stream <= 1) continue;
    list[actions.used].tag = Action::kClose;
    list[actions.used++].fd = p.fd;
  }
  Action& last = list[actions.used++];
  last.tag = Action::kDup2;
  last.fd = theirs;
  last.to = reads ? 1 : 0;
  const int error = start_shell(&entry->pid, command, &actions, nullptr);
  mino_call(__NR_close, number(theirs));
  void* const stream = error ? nullptr : fdopen(ours, reads ? "r" : "w");
  if (!stream) {
    mino_call(__NR_close, number(ours));
    __atomic_store_n(&entry->stream, 0, __ATOMIC_RELEASE);
    return error ? answer(-error) : 0, nullptr;
  }
  if (stays) mino_call(__NR_fcntl, number(ours), F_SETFD, 0);
  entry->fd = ours;
  __atomic_store_n(&entry->stream, ptr(stream), __ATOMIC_RELEASE);
  return stream;
}

// For a stream made by popen, fclose does what pclose does.
MINO_EXPORT(int, fclose, void* stream) {
  const int pid = take_process(stream), closed = close_stream(stream);
  int status;
  if (pid == 0) return closed;
  return await_shell(pid, &status) < 0 ? -1 : status;
}

MINO_EXPORT(int, pclose, void* stream) {
  for (const Piped& p : piped) {
    if (__atomic_load_n(&p.stream, __ATOMIC_ACQUIRE) == ptr(stream)) return fclose(stream);
  }
  return answer(-ECHILD), -1;  // as POSIX says for a stream that popen has not made
}

}  // namespace mino::libc
