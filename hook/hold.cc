// SPDX-License-Identifier: Apache-2.0
//
// Taking hold; and the constructor, which ld.so calls when it has loaded everything, before main.
// Without MINO_RUN the library does nothing.
#include "hook/hold.h"
#include "hook/call.h"
#include "hook/environment.h"
#include "hook/mem.h"
#include "hook/patch.h"
#include "hook/sud.h"

namespace mino::hook {

namespace {

void say(const char* text) {
  raw(nr::kWrite, 2, ptr(text), length(text));
}

// FSGSBASE (kernel 5.9, AT_HWCAP2 bit 1): the hook finds its thread with rdfsbase.
bool has_fsgsbase(char** envp) {
  while (*envp) envp++;
  constexpr u64 kAtHwcap2 = 26;
  for (auto* aux = reinterpret_cast<const u64*>(envp + 1); aux[0]; aux += 2) {
    if (aux[0] == kAtHwcap2) return aux[1] & 2;
  }
  return false;
}

}  // namespace

bool prepare_to_hold(char** envp) {
  const bool usable = has_fsgsbase(envp);
  int socket, placeholder;
  if (!read_environment(envp, &socket, &placeholder)) return false;
  if (!usable) {
    say("mino: this machine lacks FSGSBASE; nothing will be offloaded\n");
    return false;
  }
  Process* process = main_process();
  process->session.socket = process->session.placeholder = -1;
  ThreadState* ts = make_thread(process);
  if (!process->fds || !ts || !enter_thread(ts, fs_base())) {
    say("mino: out of memory; nothing will be offloaded\n");
    return false;
  }
  if (settings.trace_fd >= 0) process->set_flags(static_cast<u64>(settings.trace_fd), kPrivate);
  for (const abi::Row& row : abi::kSyscalls) {
    using enum abi::Route;
    // Not ioctl: requests about interfaces count on any socket (do_ioctl).
    const bool by_fd = row.route == kByFd || row.route == kFcntl || row.route == kClose;
    mino_interest[row.nr] = by_fd ? kAskIfFlagged : kAsk;
  }
  install_signal_handlers(process);
  learn_open_limit(process);
  open_synchronous_signals(ts);
  if (socket >= 0) reattach(ts, socket, placeholder);
  return true;
}

void take_hold() {
  const bool trapped = settings.sud && arm_dispatch();
  if (settings.patch && !trapped) patch_loaded_images();
  if (settings.sud && !trapped && patched_sites == 0) {
    say("mino: neither patching nor Syscall User Dispatch works here; nothing will be offloaded\n");
  }
}

namespace {

__attribute__((constructor)) void start(int, char**, char** envp) {
  if (prepare_to_hold(envp)) take_hold();
}

}  // namespace

}  // namespace mino::hook
