// SPDX-License-Identifier: Apache-2.0
//
// The program's faults stay the program's own: they reach its handlers with everything that the
// kernel says about them, or kill it. x86-64 only.

#include <setjmp.h>
#include <ucontext.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {
sigjmp_buf out_of_fault;
siginfo_t fault;
uint64_t fault_rip;
void keep_fault(int, siginfo_t* info, void* context) {
  fault = *info;
  fault_rip = static_cast<uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  siglongjmp(out_of_fault, 1);
}
void on_fault(int signo) {
  struct sigaction action = {};
  action.sa_sigaction = keep_fault;
  action.sa_flags = SA_SIGINFO;
  OK(sigaction(signo, &action, nullptr));
}
}  // namespace

TEST(faults_stay_faults) {
  EXPECT(pair_works(tcp_pair()));
  for (int signo : {SIGSEGV, SIGILL, SIGTRAP, SIGFPE}) on_fault(signo);
  for (uintptr_t address : {uintptr_t{0}, uintptr_t{8}, uintptr_t{0x1234}}) {
    auto* volatile pointer = reinterpret_cast<volatile char*>(address);
    if (sigsetjmp(out_of_fault, 1) == 0) {
      char byte = *pointer;
      check::report("read %d through a bad pointer", byte);
      EXPECT(false);
    }
    EXPECT_EQ(fault.si_signo, SIGSEGV);
    EXPECT_EQ(fault.si_code, SEGV_MAPERR);
    EXPECT_EQ(fault.si_addr, address);
    if (sigsetjmp(out_of_fault, 1) == 0) {
      *pointer = 1;
      EXPECT(false);
    }
    EXPECT_EQ(fault.si_addr, address);
  }
  fault = {};
  if (sigsetjmp(out_of_fault, 1) == 0) {
    void (*volatile null_function)() = nullptr;
    null_function();
    EXPECT(false);
  }
  EXPECT_EQ(fault.si_signo, SIGSEGV);
  EXPECT_EQ(fault.si_addr, nullptr);
  EXPECT_EQ(fault_rip, 0);
  if (sigsetjmp(out_of_fault, 1) == 0) asm volatile("ud2");
  EXPECT_EQ(fault.si_signo, SIGILL);
  EXPECT_EQ(fault.si_code, ILL_ILLOPN);
  if (sigsetjmp(out_of_fault, 1) == 0) asm volatile("int3");
  EXPECT_EQ(fault.si_signo, SIGTRAP);
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  if (sigsetjmp(out_of_fault, 1) == 0) {
    asm volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; idiv %%ecx"
                 :
                 :
                 : "eax", "ecx", "edx");
  }
  EXPECT_EQ(fault.si_signo, SIGFPE);
  EXPECT(pair_works(tcp_pair()));
}

TEST(default_faults_kill) {
  struct {
    int signo;
    void (*body)();
  } const rows[] = {
      {SIGSEGV,
       [] {
         volatile char* volatile pointer = nullptr;
         *pointer = 1;
       }},
      {SIGILL, [] { asm volatile("ud2"); }},
      {SIGTRAP, [] { asm volatile("int3"); }},
      {SIGSYS, [] { raise(SIGSYS); }},
  };
  for (auto& row : rows) {
    pid_t pid = child([&] {
      EXPECT(pair_works(tcp_pair()));
      row.body();
    });
    int status = wait_for(pid);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), row.signo);
  }
}
