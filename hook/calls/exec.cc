// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/exec.h.
#include "hook/calls/exec.h"

#include "hook/base/limits.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/epoll.h"
#include "hook/calls/proc_self_exe.h"
#include "hook/catch/held_signals.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/sharing.h"
#include "hook/start/environment.h"
#include "hook/start/program_file.h"
#include "hook/state/filters.h"
#include "hook/state/interruptible.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// The path of the program that execve or execveat names; false if it names none (AT_EMPTY_PATH).
bool exec_path(const Frame& f, bool at, char* path) {
  const int directory = static_cast<int>(f.rdi);
  char name[kMaxProgramPath];
  const i64 n = user_string(at ? f.rsi : f.rdi, name, sizeof name);
  if (n < 1 || (n == 1 && !(at && (f.r8 & AT_EMPTY_PATH)))) return false;
  u64 used = 0;
  if (at && name[0] != '/' && directory >= 0) {
    char link[40];
    print_number(print(link, "/proc/self/fd/"), static_cast<u64>(directory))[0] = 0;
    const long got = raw(__NR_readlink, ptr(link), ptr(path), kMaxProgramPath);
    if (got <= 0 || path[0] != '/' || static_cast<u64>(got + n) >= kMaxProgramPath) return false;
    used = static_cast<u64>(got);
    if (n > 1) path[used++] = '/';
  }
  copy(path + used, name, static_cast<u64>(n));
  return true;
}

// Whether the seccomp filters allow the calls by which the hook reads a program file. Says so on
// stderr if not.
bool may_read_program(const ThreadState* ts, const char* path) {
  if (!ts->filters || (filters_allow_own(ts, __NR_openat, AT_FDCWD, ptr(path)) &&
                       filters_allow_own(ts, __NR_mmap, 0, 4096, PROT_READ) &&
                       filters_allow_own(ts, __NR_close, 3)))
    return true;
  char text[kMaxProgramPath + 160];
  char* end = print(print(text, "mino: "), path);
  end = print(end,
              ": the seccomp filter does not let mino look at it (openat, mmap, close); if it is a "
              "static program, its calls stay on the host\n");
  raw(__NR_write, 2, ptr(text), static_cast<u64>(end - text));
  return false;
}

}  // namespace

long do_exec(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const bool at = row.nr == __NR_execveat;
  const u64 argv = at ? f.rdx : f.rsi, envp = at ? f.r10 : f.rdx;
  ProgramFile file;
  char path[kMaxProgramPath];
  const bool named = exec_path(f, at, path);
  const bool own = named && is_proc_self_exe(path);
  if (own) print(path, settings.executable)[0] = 0;
  // Without the trap, the calls of a static program would go unseen, and its name would be the
  // hook's.
  const bool load = named && settings.sud && settings.library[0] && may_read_program(ts, path) &&
                    needs_loading(path, settings.load_all, file) &&
                    raw(__NR_faccessat2, AT_FDCWD, ptr(settings.library), X_OK, 0) == 0;
  share_epoll_sets(ts, true);
  // exec unshares the descriptor table. The device must do the same.
  if (ts->process->table()->shared && named && may_read_program(ts, path) &&
      raw(__NR_faccessat2, AT_FDCWD, ptr(path), X_OK, 0) == 0) {
    if (const long error = own_table(ts, CLONE_FILES)) return error;
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
  if (filters >= 0) raw(__NR_fcntl, static_cast<u64>(filters), F_SETFD, 0);
  be_traced(ts);
  const u64 in_place[6] = {f.rdi, f.rsi, at ? argv : environment.pointer(), environment.pointer(),
                           f.r8};
  const u64 by_path[6] = {ptr(load ? settings.library : path), environment.arguments(),
                          environment.pointer()};
  show_synchronous_signals(ts);
  long result = 0;
  {
    const ReallyBlocked blocked(ts, ts->hidden_mask);
    const auto execute = [&] {
      return load || own ? mino_interruptible(ts, __NR_execve, by_path)
                         : mino_interruptible(ts, row.nr, in_place);
    };
    // In memory that is shared, nobody would give the locks back.
    result = ts->process->shares_memory ? execute() : with_limits_at_rest(execute);
  }
  hide_synchronous_signals(ts);
  keep_across_exec(ts->process, false);
  close_private(ts->process, filters);
  // A signal was deferred. Its handler must run first, and the new program must not inherit the
  // hook's mask.
  if (result == abi::kErestartsys) result = abi::kErestartnointr;
  return result;
}

}  // namespace mino::hook
