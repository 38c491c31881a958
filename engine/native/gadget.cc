// SPDX-License-Identifier: Apache-2.0
//
// The handler is installed by a direct system call: the wrapper of a sanitizer or of libc would
// delay the signal, or hand the handler a copy of the registers.
#include "engine/native/gadget.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

extern "C" {
extern const char mino_gadget_syscall[], mino_gadget_undone[];
void mino_signal_return();
}

namespace mino {

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MINO_BARE __attribute__((no_sanitize("thread", "address")))
#else
#define MINO_BARE
#endif

#if defined(__x86_64__)

MINO_BARE void on_interrupt(int, siginfo_t*, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (registers[REG_RIP] != reinterpret_cast<greg_t>(mino_gadget_syscall)) return;
  if (registers[REG_RCX] == 0) return;  // not entered yet: goes on, and is signalled again
  registers[REG_RIP] = reinterpret_cast<greg_t>(mino_gadget_undone);
}

#elif defined(__aarch64__)

// No register tells whether the kernel was entered. A call that had not begun counts as undone,
// too: it has had no effect either.
MINO_BARE void on_interrupt(int, siginfo_t*, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
  if (registers.pc == reinterpret_cast<uint64_t>(mino_gadget_syscall)) {
    registers.pc = reinterpret_cast<uint64_t>(mino_gadget_undone);
  }
}

#endif

// The kernel's own struct sigaction.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  uint64_t flags;
  void (*restorer)();
  uint64_t mask;
};

}  // namespace

int interrupt_signal() {
  return SIGRTMIN + 7;
}

bool install_interrupt_handler() {
  constexpr uint64_t kRestorer = 0x04000000;  // SA_RESTORER
  const KernelAction action{on_interrupt, SA_SIGINFO | SA_RESTART | kRestorer, mino_signal_return,
                            ~uint64_t{0}};
  return ::syscall(SYS_rt_sigaction, interrupt_signal(), &action, nullptr, sizeof action.mask) == 0;
}

}  // namespace mino
