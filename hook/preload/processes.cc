// SPDX-License-Identifier: Apache-2.0
//
// fork and its kin, exec, wait, and who the process is. libc's fork stays (it has locks and
// handlers of its own): the device forks in a handler that libc calls before, so that daemon and
// forkpty are served too.
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/fork.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/children.h"
#include "hook/device/fork.h"
#include "hook/device/sharing.h"
#include "hook/preload/exec.h"
#include "hook/preload/libc.h"
#include "hook/preload/prepare.h"
#include "hook/state/signal_mask.h"

#include <cstdarg>

namespace mino::libc {
MINO_LIBC(int, __register_atfork, void (*prepare)(), void (*parent)(), void (*child)(),
          void* module);
}

namespace mino::hook {

namespace {

// One fork under way, by the thread that makes it.
struct Forking {
  u64 thread;  // its %fs base; 0: free
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
  const long error = prepare_fork(ts, f.session);
  f.company = has_company(ts);
  // libc forks even so: without a session the child's table must not be ours either.
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

// No handler of the program's may run between the two forks.
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

// A call that libc makes in every thread: in this one, and for its lane, the hook does it first.
template <class... Arguments>
long mirrored(const char* name, long nr, Arguments... arguments) {
  if (held()) {
    const long result = mino_call(nr, static_cast<u64>(arguments)...);
    if (is_error(result) || alone()) return answer(result);
  }
  return real<int (*)(Arguments...)>(name)(arguments...);
}

u64 count_arguments(va_list list) {
  u64 count = 1;
  while (va_arg(list, char*)) count++;
  return count;
}

// A file that is neither ELF nor #! is a shell's, as execvp(3) has it.
long execute_shell(const char* path, StringList argv, StringList envp) {
  u64 argc = 0;
  while (argv[argc]) argc++;
  auto* const words = static_cast<char**>(__builtin_alloca((argc + 3) * sizeof(char*)));
  words[0] = const_cast<char*>("/bin/sh");
  words[1] = const_cast<char*>(path);
  for (u64 i = 1; i <= argc; i++) words[i + 1] = argv[i];
  if (argc == 0) words[2] = nullptr;
  return mino_call(__NR_execve, ptr(words[0]), ptr(words), ptr(envp));
}

int execute(const char* path, StringList argv, StringList envp) {
  return static_cast<int>(answer(mino_call(__NR_execve, ptr(path), ptr(argv), ptr(envp))));
}

int execute_path(const char* file, StringList argv, StringList envp) {
  return static_cast<int>(answer(execute_named(file, argv, envp, true)));
}

}  // namespace

long execute_named(const char* file, StringList argv, StringList envp, bool by_shell) {
  constexpr u64 kRoom = 4096;
  bool slash = false, denied = false;
  for (const char* p = file; *p; p++) slash |= *p == '/';
  const auto attempt = [&](const char* path) {
    const long result = mino_call(__NR_execve, ptr(path), ptr(argv), ptr(envp));
    return result == -ENOEXEC && by_shell ? execute_shell(path, argv, envp) : result;
  };
  if (!*file) return -ENOENT;
  if (slash) return attempt(file);
  const char* path = "/bin:/usr/bin";
  for (StringList e = libc::environment; e && *e; e++) {
    if (starts_with(*e, "PATH=")) path = *e + 5;
  }
  char candidate[kRoom];
  for (;; path++) {
    u64 n = 0;
    while (path[n] && path[n] != ':') n++;
    const u64 bytes = length(file);
    if (n + 1 + bytes + 1 <= kRoom) {
      copy(candidate, path, n);
      if (n) candidate[n] = '/';
      copy(candidate + n + (n != 0), file, bytes + 1);
      const long result = attempt(candidate);
      if (result == -EACCES)
        denied = true;
      else if (result != -ENOENT && result != -ENOTDIR && result != -ENODEV)
        return result;
    }
    path += n;
    if (!*path) return denied ? -EACCES : -ENOENT;
  }
}

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
  if (pid > 0 && held()) run_inside(remember, number(pid));
  return pid;
}
MINO_EXPORT(int, __fork) {
  return fork();
}
MINO_EXPORT(int, _Fork) {
  if (held()) before_fork();
  const int pid = real<Fork>("_Fork")();
  if (held()) pid == 0 ? after_fork_in_child() : after_fork_in_parent();
  if (pid > 0 && held()) run_inside(remember, number(pid));
  return pid;
}

MINO_EXPORT(int, execv, const char* path, StringList argv) {
  return execute(path, argv, environment);
}
MINO_EXPORT(int, execvp, const char* file, StringList argv) {
  return execute_path(file, argv, environment);
}
MINO_EXPORT(int, execvpe, const char* file, StringList argv, StringList envp) {
  return execute_path(file, argv, envp);
}
MINO_EXPORT(int, fexecve, int fd, StringList argv, StringList envp) {
  return static_cast<int>(
      answer(mino_call(__NR_execveat, number(fd), ptr(""), ptr(argv), ptr(envp), AT_EMPTY_PATH)));
}
#define MINO_EXECL(name, path, ending, call)                                               \
  MINO_EXPORT(int, name, const char* path, const char* first, ...) {                       \
    va_list list;                                                                          \
    va_start(list, first);                                                                 \
    const u64 count = first ? count_arguments(list) : 0;                                   \
    va_end(list);                                                                          \
    auto* const argv = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
    va_start(list, first);                                                                 \
    argv[0] = const_cast<char*>(first);                                                    \
    for (u64 i = 1; i <= count; i++) argv[i] = va_arg(list, char*);                        \
    ending;                                                                                \
    va_end(list);                                                                          \
    return call;                                                                           \
  }
MINO_EXECL(execl, path, (void)0, execute(path, argv, environment))
MINO_EXECL(execlp, file, (void)0, execute_path(file, argv, environment))
MINO_EXECL(execle, path, StringList envp = va_arg(list, StringList), execute(path, argv, envp))

MINO_EXPORT(int, waitpid, int pid, int* status, int options) {
  return static_cast<int>(
      answer(mino_waiting_call(__NR_wait4, number(pid), ptr(status), number(options))));
}
MINO_EXPORT(int, __waitpid, int pid, int* status, int options) {
  return waitpid(pid, status, options);
}
MINO_EXPORT(int, wait, int* status) {
  return waitpid(-1, status, 0);
}
MINO_EXPORT(int, __wait, int* status) {
  return waitpid(-1, status, 0);
}
MINO_EXPORT(int, wait3, int* status, int options, void* usage) {
  return static_cast<int>(
      answer(mino_waiting_call(__NR_wait4, ~0ull, ptr(status), number(options), ptr(usage))));
}
MINO_EXPORT(int, waitid, int which, int pid, void* info, int options) {
  return static_cast<int>(answer(
      mino_waiting_call(__NR_waitid, number(which), number(pid), ptr(info), number(options), 0)));
}

MINO_EXPORT(int, setuid, u32 user) {
  return static_cast<int>(mirrored("setuid", __NR_setuid, user));
}
MINO_EXPORT(int, setgid, u32 group) {
  return static_cast<int>(mirrored("setgid", __NR_setgid, group));
}
MINO_EXPORT(int, setreuid, u32 user, u32 effective) {
  return static_cast<int>(mirrored("setreuid", __NR_setreuid, user, effective));
}
MINO_EXPORT(int, setregid, u32 group, u32 effective) {
  return static_cast<int>(mirrored("setregid", __NR_setregid, group, effective));
}
MINO_EXPORT(int, setresuid, u32 user, u32 effective, u32 saved) {
  return static_cast<int>(mirrored("setresuid", __NR_setresuid, user, effective, saved));
}
MINO_EXPORT(int, setresgid, u32 group, u32 effective, u32 saved) {
  return static_cast<int>(mirrored("setresgid", __NR_setresgid, group, effective, saved));
}
MINO_EXPORT(int, seteuid, u32 effective) {
  return setresuid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setegid, u32 effective) {
  return setresgid(~0u, effective, ~0u);
}
MINO_EXPORT(int, setgroups, u64 count, const u32* groups) {
  return static_cast<int>(mirrored("setgroups", __NR_setgroups, count, ptr(groups)));
}
MINO_EXPORT(int, initgroups, const char* user, u32 group) {
  const int result = real<int (*)(const char*, u32)>("initgroups")(user, group);
  if (result != 0 || !held()) return result;
  static u32 groups[65536];  // NGROUPS_MAX
  const long count = raw(__NR_getgroups, sizeof groups / sizeof *groups, ptr(groups));
  if (!is_error(count)) mino_call(__NR_setgroups, static_cast<u64>(count), ptr(groups));
  return 0;
}

}  // namespace mino::libc
