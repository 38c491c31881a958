// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/startup.h. ld.so calls the constructor when it has loaded everything, before main.
// Without MINO_RUN the library does nothing.
#include "hook/start/startup.h"
#include "hook/base/mem.h"
#include "hook/base/proc.h"
#include "hook/base/uapi.h"
#include "hook/catch/on_signal.h"
#include "hook/catch/patch.h"
#include "hook/catch/signal_stack.h"
#include "hook/catch/sud.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/start/environment.h"
#include "hook/start/home.h"
#include "hook/start/sanitizer.h"
#include "hook/start/shown_environment.h"
#include "hook/state/filters.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

extern "C" __attribute__((visibility("hidden"))) void mino_arrive(char** envp);
extern "C" __attribute__((weak, visibility("hidden"))) void mino_preload_start();

namespace mino::hook {

namespace {

void say(const char* text) {
  raw(__NR_write, 2, ptr(text), length(text));
}

// The hook finds its thread with rdfsbase, which needs FSGSBASE (kernel 5.9).
bool has_fsgsbase(char** envp) {
  while (*envp) envp++;
  for (auto* aux = reinterpret_cast<const u64*>(envp + 1); aux[0]; aux += 2) {
    if (aux[0] == AT_HWCAP2) return aux[1] & HWCAP2_FSGSBASE;
  }
  return false;
}

// The array behind argv, where the kernel has put it. Field 28 of /proc/self/stat is the address
// where the stack began, with argc (proc(5)).
char** initial_environment() {
  char text[1024];
  const u64 got = read_proc("/proc/self/stat", text, sizeof text);
  if (!got) return nullptr;
  const char* at = text + got;
  while (at > text && *at != ')') at--;  // the name in field 2 may contain anything
  for (int field = 2; field < 28; field++) {
    while (*at && *at != ' ') at++;
    if (*at) at++;
  }
  auto* stack = reinterpret_cast<u64*>(parse_number(at));
  return stack ? reinterpret_cast<char**>(stack + 1 + *stack + 1) : nullptr;
}

Interest interest_in(const abi::Row& row) {
  using enum abi::Route;
  switch (row.route) {
    case kByFd:
      return row.nr == __NR_getdents || row.nr == __NR_getdents64 ? kAsk : kAskIfFlagged;
    case kFcntl:
    case kClose:
      return kAskIfFlagged;
    case kCopy:
      if (row.nr == __NR_vmsplice) return kAskIfFlagged;
      return row.nr == __NR_sendfile || row.nr == __NR_tee ? kAskIfEither : kAsk;
    case kPath:
    case kPathTwo:
      return kAskIfPaths;
    case kText:
      return kNoInterest;  // until hook/catch/disarm.cc asks for it
    default:
      return kAsk;  // also ioctl: requests about interfaces matter on any socket (do_ioctl)
  }
}

}  // namespace

bool prepare_startup(char** envp, bool reachable) {
  const bool usable = has_fsgsbase(envp);
  Inherited inherited;
  if (!read_environment(envp, inherited) || !reachable) return false;
  if (!usable) {
    say("mino: this machine lacks FSGSBASE; nothing will be offloaded\n");
    return false;
  }
  Process* process = main_process();
  Session& session = process->session();
  session.socket = session.placeholder = session.broken = -1;
  ThreadState* ts = make_thread(process);
  if (!process->fds || !ts || !enter_thread(ts, fs_base())) {
    say("mino: out of memory; nothing will be offloaded\n");
    return false;
  }
  ts->tid = static_cast<u32>(raw(__NR_gettid));
  if (inherited.filters >= 0 && !(ts->filters = load_filters(inherited.filters))) {
    say("mino: out of memory for the seccomp filters; nothing will be offloaded\n");
    return false;
  }
  if (settings.trace_fd >= 0) process->set_flags(static_cast<u64>(settings.trace_fd), kPrivate);
  for (const abi::Row& row : abi::kSyscalls) mino_interest[row.nr] = interest_in(row);
  use_signal_stack(ts, true);
  install_signal_handlers(process);
  learn_open_limit(process);
  open_synchronous_signals(ts);
  if (inherited.socket >= 0)
    reattach(ts, inherited.socket, inherited.placeholder, inherited.broken, inherited.directory);
  if (!ts->filters) hide_variables(envp, inherited);
  return true;
}

namespace {

// Patching reads a file and changes memory, which a seccomp filter may forbid.
bool may_patch() {
  const ThreadState* ts = this_thread();
  return !ts->filters ||
         (filters_allow_own(ts, __NR_openat, AT_FDCWD) && filters_allow_own(ts, __NR_ioctl) &&
          filters_allow_own(ts, __NR_mmap, base(), 4096, PROT_READ | PROT_WRITE) &&
          filters_allow_own(ts, __NR_mprotect, base(), 4096, PROT_READ | PROT_WRITE | PROT_EXEC) &&
          filters_allow_own(ts, __NR_mprotect, base(), 4096, PROT_READ | PROT_EXEC));
}

}  // namespace

void finish_startup() {
  if (settings.preload && mino_preload_start) mino_preload_start();
  if (settings.patch && !may_patch()) {
    settings.patch = false;
    if (!settings.sud) {
      say("mino: the seccomp filter does not let --hook patch work (openat, mprotect); nothing "
          "will be offloaded\n");
    }
  }
  const bool trapped = settings.sud && arm_dispatch();
  // Without the trap the hook misses some close calls. When an open returns such a number, it
  // learns that it was closed, so it must see every open.
  mino_paths_matter |= settings.path_count || settings.executable[0] || !trapped;
  if (settings.patch && !trapped) patch_loaded_images();
  if (trapped || patched_sites != 0) return;
  if (settings.sud) {
    say("mino: neither patching nor Syscall User Dispatch works here; nothing will be offloaded\n");
  } else if (settings.patch) {
    say("mino: --hook patch can change nothing in this program, which keeps the addresses below "
        "1 MiB for itself; nothing will be offloaded (--hook auto does without them)\n");
  }
}

namespace {

void start_up(char** envp, bool reachable) {
  if (prepare_startup(envp, reachable)) finish_startup();
}

// glibc passes the arguments of main; musl passes nothing.
__attribute__((constructor)) void start(int argc, char** argv, char** envp) {
  if (ptr(envp) != ptr(argv) + 8 * (static_cast<u64>(argc) + 1)) envp = initial_environment();
  if (!envp) return;
  stand_behind_sanitizer(envp);
  const u64 home = home_in(envp);
  if (!home || home == base()) return start_up(envp, true);
  if (mino_preload_start) {  // libc has already bound the program to this copy
    say("mino: --hook preload does not reach the device from a program that is executed under a "
        "seccomp filter; nothing will be offloaded\n");
    return start_up(envp, false);
  }
  const long error = map_at_home(envp, home);
  if (error == 0) {
    reinterpret_cast<void (*)(char**)>(at_home(home, reinterpret_cast<const void*>(mino_arrive)))(
        envp);
  } else {
    tell_no_way_home(error);
    start_up(envp, false);
  }
}

}  // namespace

}  // namespace mino::hook

// Where the copy at home begins.
extern "C" __attribute__((visibility("hidden"))) void mino_arrive(char** envp) {
  mino::hook::relocate();
  mino::hook::start_up(envp, true);
}
