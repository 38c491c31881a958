// SPDX-License-Identifier: Apache-2.0
//
// Alternate signal stacks: those that are gone, protected or small while system calls are made,
// what is kept in them, and what handlers on them see. The hook needs a stack for its traps; it
// must not be the program's.

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include "children.h"
#include "loopback.h"

namespace {

constexpr size_t kBytes = 65536;
constexpr unsigned kAutodisarm = 1u << 31;  // SS_AUTODISARM

char* new_stack(size_t bytes = kBytes, unsigned flags = 0, size_t at = 0) {
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED);
  auto* start = static_cast<char*>(memory);
  memset(start, 0x55, kBytes);
  stack_t stack = {};
  stack.ss_sp = start + at;
  stack.ss_flags = static_cast<int>(flags);
  stack.ss_size = bytes;
  OK(sigaltstack(&stack, nullptr));
  return start;
}

bool untouched(const char* memory, size_t from = 0, size_t to = kBytes) {
  for (size_t i = from; i < to; i++) {
    if (memory[i] != 0x55) return false;
  }
  return true;
}

// Calls of every kind: on the host, on the device, and with a bad pointer.
void make_calls() {
  for (int i = 0; i < 50; i++) syscall(SYS_getppid);
  EXPECT(pair_works(tcp_pair()));
  const int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERR(bind(fd, reinterpret_cast<sockaddr*>(8), 16), EFAULT);
  close(fd);
}

stack_t now() {
  stack_t stack = {};
  OK(sigaltstack(nullptr, &stack));
  return stack;
}

char *first, *second;
std::atomic<int> runs{0};
bool is_in(const char* memory, const void* address) {
  const auto* at = static_cast<const char*>(address);
  return at >= memory && at < memory + kBytes;
}

void catch_signal(int sig, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  OK(sigaction(sig, &action, nullptr));
}

}  // namespace

TEST(unmapped_stack) {
  char* memory = new_stack();
  OK(munmap(memory, kBytes));
  make_calls();
  EXPECT(now().ss_sp == memory);
}

TEST(protected_stack) {
  char* memory = new_stack();
  OK(mprotect(memory, kBytes, PROT_NONE));
  make_calls();
  OK(mprotect(memory, kBytes, PROT_READ));
  EXPECT(untouched(memory));
  make_calls();
}

TEST(content_is_kept) {
  for (const size_t bytes : {size_t{MINSIGSTKSZ}, size_t{4096}, kBytes / 2}) {
    char* memory = new_stack(bytes, 0, 16384);
    make_calls();
    EXPECT(untouched(memory));
    const pid_t pid = child([=] {
      make_calls();
      EXPECT(untouched(memory));
      EXPECT_EQ(now().ss_size, bytes);
    });
    EXPECT_EXIT(pid, 0);
    EXPECT(untouched(memory));
    EXPECT_EQ(now().ss_size, bytes);
    EXPECT(now().ss_sp == memory + 16384);
  }
}

TEST(signal_that_does_not_use_it) {
  char* memory = new_stack(MINSIGSTKSZ);
  on_signal(SIGUSR1, count_signal);
  on_signal(SIGSEGV, count_signal);
  OK(raise(SIGUSR1));
  OK(raise(SIGSEGV));
  EXPECT_EQ(handled, 2);
  make_calls();
  EXPECT(untouched(memory));
}

TEST(errors) {
  stack_t stack = {};
  char* memory = new_stack();
  stack.ss_sp = memory;
  stack.ss_size = 1024;
  EXPECT_ERR(sigaltstack(&stack, nullptr), ENOMEM);
  stack.ss_size = kBytes;
  stack.ss_flags = 4;
  EXPECT_ERR(sigaltstack(&stack, nullptr), EINVAL);
  EXPECT_ERR(syscall(SYS_sigaltstack, 8, nullptr), EFAULT);
  EXPECT_ERR(syscall(SYS_sigaltstack, nullptr, 8), EFAULT);
  EXPECT(now().ss_sp == memory && now().ss_size == kBytes && now().ss_flags == 0);
  stack.ss_flags = SS_DISABLE;
  stack_t old = {};
  OK(sigaltstack(&stack, &old));
  EXPECT(old.ss_sp == memory && old.ss_size == kBytes);
  EXPECT_EQ(now().ss_flags, SS_DISABLE);
  EXPECT(!now().ss_sp && !now().ss_size);
}

TEST(handlers_on_it) {
  first = new_stack();
  for (int sig : {SIGUSR1, SIGSEGV, SIGSYS}) {
    runs = 0;
    catch_signal(
        sig,
        [](int got, siginfo_t* info, void* context) {
          char here;
          runs++;
          EXPECT_EQ(info->si_signo, got);
          EXPECT(is_in(first, &here) && is_in(first, info) && is_in(first, context));
          EXPECT(runs > 1 ||
                 !is_in(first, reinterpret_cast<void*>(
                                   static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RSP])));
          EXPECT_EQ(now().ss_flags, SS_ONSTACK);
          stack_t other = {};
          other.ss_flags = SS_DISABLE;
          EXPECT_ERR(sigaltstack(&other, nullptr), EPERM);
          make_calls();
          if (runs < 3 && got == SIGUSR1) OK(raise(got));
        },
        SA_ONSTACK | SA_NODEFER);
    volatile double number = 1.5;
    OK(raise(sig));
    EXPECT(number == 1.5);
    EXPECT_EQ(runs, sig == SIGUSR1 ? 3 : 1);
    EXPECT_EQ(now().ss_flags, 0);
  }
}

namespace {
sigjmp_buf back;
}

// As Go does it: asked for by an instruction of its own, used by a handler that libc sets.
TEST(handler_on_the_one_found) {
  static stack_t found;
  long result;
  asm volatile("movq $131, %%rax\n xor %%edi, %%edi\n syscall"
               : "=&a"(result)
               : "S"(&found)
               : "rcx", "r11", "rdi", "memory");
  EXPECT_EQ(result, 0);
  runs = 0;
  catch_signal(
      SIGUSR1,
      [](int, siginfo_t*, void*) {
        char here;
        runs++;
        const auto* const begin = static_cast<const char*>(found.ss_sp);
        const bool inside = &here >= begin && &here < begin + found.ss_size;
        EXPECT((found.ss_flags & SS_DISABLE) || inside);
      },
      SA_ONSTACK);
  for (int i = 0; i < 3; i++) OK(raise(SIGUSR1));
  EXPECT_EQ(runs, 3);
  make_calls();
}

TEST(fault_on_it_and_jump) {
  first = new_stack();
  catch_signal(
      SIGSEGV,
      [](int, siginfo_t* info, void*) {
        char here;
        EXPECT(is_in(first, &here));
        EXPECT(info->si_addr == reinterpret_cast<void*>(16));
        siglongjmp(back, 1);
      },
      SA_ONSTACK);
  for (int i = 0; i < 3; i++) {
    if (sigsetjmp(back, 1) == 0) {
      volatile int* volatile bad = reinterpret_cast<int*>(16);
      *bad = 1;
      EXPECT(false);
    }
    EXPECT_EQ(now().ss_flags, 0);
    make_calls();
  }
}

TEST(too_small_for_a_frame) {
  const pid_t pid = child([] {
    char* memory = new_stack(kBytes, 0, 0);
    OK(mprotect(memory, kBytes, PROT_NONE));
    catch_signal(SIGUSR1, [](int, siginfo_t*, void*) {}, SA_ONSTACK);
    kill(getpid(), SIGUSR1);
  });
  const int status = wait_for(pid);
  EXPECT(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
}

TEST(disarmed_in_handlers) {
  first = new_stack(kBytes, kAutodisarm);
  catch_signal(
      SIGUSR1,
      [](int, siginfo_t*, void*) {
        char here;
        EXPECT(is_in(first, &here));
        EXPECT_EQ(now().ss_flags, SS_DISABLE);
        second = new_stack(kBytes, kAutodisarm);
        OK(raise(SIGUSR2));
        make_calls();
        EXPECT(now().ss_sp == second);
        runs++;
      },
      SA_ONSTACK);
  catch_signal(
      SIGUSR2,
      [](int, siginfo_t*, void*) {
        char here;
        EXPECT(is_in(second, &here));
        EXPECT_EQ(now().ss_flags, SS_DISABLE);
        make_calls();
      },
      SA_ONSTACK);
  for (int i = 0; i < 3; i++) {
    OK(raise(SIGUSR1));
    EXPECT(now().ss_sp == first);
    EXPECT_EQ(static_cast<unsigned>(now().ss_flags), kAutodisarm);
  }
  EXPECT_EQ(runs, 3);
}

TEST(one_for_each_thread) {
  first = new_stack();
  std::thread other([] {
    EXPECT_EQ(now().ss_flags, SS_DISABLE);
    second = new_stack();
    catch_signal(
        SIGUSR1,
        [](int, siginfo_t*, void*) {
          char here;
          EXPECT(is_in(second, &here));
          runs++;
        },
        SA_ONSTACK);
    OK(pthread_kill(pthread_self(), SIGUSR1));
    EXPECT_EQ(runs, 1);
    make_calls();
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    OK(sigaltstack(&none, nullptr));
    OK(munmap(second, kBytes));
  });
  other.join();
  EXPECT(now().ss_sp == first);
  EXPECT(untouched(first));
}
