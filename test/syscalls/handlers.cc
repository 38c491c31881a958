// SPDX-License-Identifier: Apache-2.0
//
// Signal handlers and the state around them: what a handler that interrupts a blocked call is told
// and may do, and that masks, actions and stacks read back as they were set. The blocked calls
// themselves are in signals.cc.

#include <setjmp.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include <string>
#include <thread>

#include "children.h"
#include "files.h"
#include "loopback.h"

namespace {

extern "C" long pause_here();
extern "C" const char behind_the_pause[];
asm(R"(
.text
.globl pause_here, behind_the_pause
.type pause_here, @function
pause_here:
  .cfi_startproc
  mov $34, %eax
  syscall
behind_the_pause:
  ret
  .cfi_endproc
.size pause_here, .-pause_here
)");

// A connection on which nothing comes.
struct Idle {
  Pair pair = tcp_pair();
  char byte = 0;
};

}  // namespace

namespace {
siginfo_t seen_info;
std::atomic<bool> stack_was_alternate{false};
char* alternate;
std::atomic<int> depth{0}, deepest{0};
Pair* handler_pair;
std::atomic<int> handler_result{0};

void keep_info(int, siginfo_t* info, void* context) {
  seen_info = *info;
  char here;
  stack_was_alternate = &here >= alternate && &here < alternate + 65536;
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  EXPECT(registers[REG_RIP] != 0 && registers[REG_RSP] != 0);
  handled++;
}

void nest(int) {
  int now = ++depth;
  if (now > deepest) deepest = now;
  if (now < 3) raise(SIGUSR2);
  depth--;
  handled++;
}

void use_sockets(int) {
  handler_result = pair_works(*handler_pair) ? 1 : 2;
}
}  // namespace

TEST(signal_information) {
  struct sigaction action = {};
  action.sa_sigaction = keep_info;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  OK(sigaction(SIGRTMIN + 2, &action, nullptr));
  alternate = new char[65536];
  Idle idle;
  pthread_t self = pthread_self();
  stack_t stack = {};
  stack.ss_sp = alternate;
  stack.ss_size = 65536;
  OK(sigaltstack(&stack, nullptr));
  std::atomic<bool> done{false};
  std::thread sender([&] {
    sleep_ms(30);
    for (int i = 0; !done; i++) {
      sigval value;
      value.sival_int = 4711;
      pthread_sigqueue(self, SIGRTMIN + 2, value);
      sleep_ms(20);
    }
  });
  EXPECT_ERR(recv(idle.pair.a, &idle.byte, 1, 0), EINTR);
  done = true;
  sender.join();
  EXPECT_EQ(seen_info.si_signo, SIGRTMIN + 2);
  EXPECT_EQ(seen_info.si_code, SI_QUEUE);
  EXPECT_EQ(seen_info.si_pid, getpid());
  EXPECT_EQ(seen_info.si_value.sival_int, 4711);
  EXPECT(stack_was_alternate);
  stack_t now;
  OK(sigaltstack(nullptr, &now));
  EXPECT_EQ(now.ss_sp, alternate);
  EXPECT_EQ(now.ss_size, 65536);
}

TEST(nested_handlers) {
  on_signal(SIGUSR2, nest, SA_NODEFER);
  Idle idle;
  Outcome outcome;
  interrupt_until_done(&outcome, SIGUSR2, [&] { return recv(idle.pair.a, &idle.byte, 1, 0); });
  EXPECT(outcome.result == -1 && outcome.error == EINTR);
  EXPECT(deepest >= 3);
}

TEST(handler_that_uses_sockets) {
  Pair pair = tcp_pair();
  handler_pair = &pair;
  Idle idle;
  for (int flags : {0, SA_RESTART}) {
    on_signal(SIGUSR2, use_sockets, flags);
    handler_result = 0;
    Outcome outcome;
    while_blocked(
        &outcome, [&] { return recv(idle.pair.a, &idle.byte, 1, 0); },
        [&](pthread_t thread) {
          while (handler_result == 0) {
            pthread_kill(thread, SIGUSR2);
            sleep_ms(20);
          }
          if (flags) EXPECT_EQ(write(idle.pair.b, "x", 1), 1);
          while (!outcome.done) {
            sleep_ms(10);
            if (!flags) pthread_kill(thread, SIGUSR2);
          }
        });
    EXPECT_EQ(handler_result, 1);
    EXPECT_EQ(outcome.result, flags ? 1 : -1);
  }
}

TEST(one_time_handler) {
  on_signal(SIGUSR1, count_signal, static_cast<int>(SA_RESETHAND));
  Idle idle;
  // A second signal would kill, so there is only one, and data in case it came too early.
  std::thread killer([&, self = pthread_self()] {
    sleep_ms(50);
    pthread_kill(self, SIGUSR1);
    while (handled == 0) sleep_ms(5);
    sleep_ms(50);
    EXPECT_EQ(write(idle.pair.b, "x", 1), 1);
  });
  ssize_t n = recv(idle.pair.a, &idle.byte, 1, 0);
  EXPECT(n == 1 || (n == -1 && errno == EINTR));
  killer.join();
  EXPECT_EQ(handled, 1);
  struct sigaction now;
  OK(sigaction(SIGUSR1, nullptr, &now));
  EXPECT(now.sa_handler == SIG_DFL);
}

TEST(one_time_handler_keeps_flags_and_mask) {
  for (int sig : {SIGUSR1, SIGSEGV}) {
    struct sigaction action = {}, now;
    action.sa_handler = count_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER | SA_RESTART | SA_SIGINFO);
    sigaddset(&action.sa_mask, SIGUSR2);
    OK(sigaction(sig, &action, nullptr));
    raise(sig);
    OK(sigaction(sig, nullptr, &now));
    EXPECT(now.sa_handler == SIG_DFL);
    constexpr int kRestorer = 0x04000000;  // libc adds it
    EXPECT_EQ(now.sa_flags & ~kRestorer, action.sa_flags);
    EXPECT_EQ(sigismember(&now.sa_mask, SIGUSR2), 1);
    EXPECT_EQ(sigismember(&now.sa_mask, SIGHUP), 0);
  }
}

namespace {
sigjmp_buf back;
void jump(int) {
  siglongjmp(back, 1);
}
}  // namespace

TEST(jump_out_of_a_blocked_call) {
  Idle idle;
  on_signal(SIGALRM, jump);
  static int round;  // not on the stack that siglongjmp rewinds
  for (round = 0; round < 5; round++) {
    if (sigsetjmp(back, 1) == 0) {
      alarm_every(20);
      recv(idle.pair.a, &idle.byte, 1, 0);
      EXPECT(false);
    }
    alarm_every(0);
    EXPECT(pair_works(idle.pair));
    EXPECT(pair_works(tcp_pair()));
  }
}

TEST(masks_read_back) {
  sigset_t set, now;
  for (int signo : {SIGSEGV, SIGSYS, SIGILL, SIGTRAP, SIGBUS, SIGUSR1, SIGRTMIN, SIGRTMAX}) {
    sigemptyset(&set);
    sigaddset(&set, signo);
    OK(sigprocmask(SIG_SETMASK, &set, nullptr));
    OK(sigprocmask(SIG_BLOCK, nullptr, &now));
    for (int other = 1; other < NSIG; other++) {
      EXPECT_EQ(sigismember(&now, other), sigismember(&set, other));
    }
  }
  sigfillset(&set);
  unsigned long all = 0, raw = ~0ul;
  OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &raw, nullptr, 8));
  OK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &all, 8));
  EXPECT_EQ(all, ~(1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1)));
  EXPECT(pair_works(tcp_pair()));  // with every signal blocked
  raise(SIGUSR1);
  OK(sigpending(&now));
  EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 0);
}

TEST(actions_read_back) {
  for (int signo : {SIGSEGV, SIGSYS, SIGILL, SIGTRAP, SIGPIPE, SIGUSR1, SIGRTMIN + 1}) {
    struct sigaction set = {}, old = {};
    set.sa_handler = count_signal;
    set.sa_flags = SA_RESTART | SA_NODEFER;
    sigfillset(&set.sa_mask);
    OK(sigaction(signo, &set, &old));
    EXPECT(old.sa_handler == SIG_DFL);
    OK(sigaction(signo, nullptr, &old));
    EXPECT(old.sa_handler == count_signal);
    EXPECT_EQ(old.sa_flags & ~0x04000000, SA_RESTART | SA_NODEFER);
    EXPECT_EQ(sigismember(&old.sa_mask, SIGSYS), 1);
    EXPECT_EQ(sigismember(&old.sa_mask, SIGSEGV), 1);
    EXPECT(pair_works(tcp_pair()));
    handled = 0;
    raise(signo);
    EXPECT_EQ(handled, 1);
  }
}

TEST(full_mask_in_a_handler) {
  struct sigaction action = {};
  Pair pair = tcp_pair();
  handler_pair = &pair;
  action.sa_handler = use_sockets;
  sigfillset(&action.sa_mask);
  OK(sigaction(SIGUSR1, &action, nullptr));
  raise(SIGUSR1);
  EXPECT_EQ(handler_result, 1);
}

TEST(signal_on_input) {
  on_signal(SIGIO, count_signal);
  Pair pair = udp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  OK(fcntl(pair.b, F_SETFL, O_ASYNC | O_NONBLOCK));
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  for (int i = 0; i < 100 && handled == 0; i++) sleep_ms(10);
  EXPECT(handled >= 1);
}

namespace {

std::atomic<int> handled_fd{-1}, handled_code{0};
void note_source(int, siginfo_t* info, void*) {
  handled_fd = info->si_fd;
  handled_code = info->si_code;
}

}  // namespace

// With F_SETSIG the handler learns which descriptor it is, and why. Urgent data have a signal of
// their own. If the owner is a thread, that thread alone gets it.
TEST(signal_with_its_source) {
  struct sigaction action = {};
  action.sa_sigaction = note_source;
  action.sa_flags = SA_SIGINFO;
  OK(sigaction(SIGRTMIN + 3, &action, nullptr));
  Pair pair = tcp_pair();
  EXPECT_EQ(fcntl(pair.b, F_GETOWN), 0);
  EXPECT_EQ(fcntl(pair.b, F_GETSIG), 0);
  f_owner_ex owner = {F_OWNER_TID, static_cast<pid_t>(syscall(SYS_gettid))};
  EXPECT_EQ(fcntl(pair.b, F_SETOWN_EX, &owner), 0);
  EXPECT_EQ(fcntl(pair.b, F_SETSIG, SIGRTMIN + 3), 0);
  EXPECT_EQ(fcntl(pair.b, F_GETSIG), SIGRTMIN + 3);
  EXPECT_ERR(fcntl(pair.b, F_SETSIG, 1000), EINVAL);
  EXPECT_ERR(fcntl(pair.b, F_SETOWN, 1 << 30), ESRCH);
  OK(fcntl(pair.b, F_SETFL, O_ASYNC));
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  for (int i = 0; i < 500 && handled_fd < 0; i++) sleep_ms(10);
  EXPECT_EQ(handled_fd, pair.b);
  EXPECT_EQ(handled_code, POLL_IN);
  on_signal(SIGURG, count_signal);
  handled = 0;
  EXPECT_EQ(fcntl(pair.b, F_SETOWN, getpid()), 0);
  EXPECT_EQ(fcntl(pair.b, F_GETOWN), getpid());
  EXPECT_EQ(send(pair.a, "!", 1, MSG_OOB), 1);
  for (int i = 0; i < 500 && handled == 0; i++) sleep_ms(10);
  EXPECT(handled >= 1);
}

namespace {

std::atomic<uint64_t> seen_at{0};

void note_place(int, siginfo_t*, void* context) {
  seen_at = static_cast<uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
}

// Runs `call` in a thread, and sends it SIGUSR1 once it sleeps.
template <class Call>
long interrupted_asleep(Call call) {
  std::atomic<long> tid{0}, result{0};
  std::thread thread([&] {
    tid = syscall(SYS_gettid);
    result = call();
  });
  while (tid == 0) sched_yield();
  const std::string stat = "/proc/self/task/" + std::to_string(tid) + "/stat";
  for (int asleep = 0; asleep < 3; sleep_ms(2)) {
    const std::string text = contents(stat.c_str());
    asleep = text.find(") S ") != std::string::npos ? asleep + 1 : 0;
  }
  pthread_kill(thread.native_handle(), SIGUSR1);
  thread.join();
  return result;
}

void throw_out(int) {
  throw 7;
}

}  // namespace

// The place is not in code that only a hook knows of.
TEST(place_of_a_blocked_local_call) {
  struct sigaction action = {};
  action.sa_sigaction = note_place;
  action.sa_flags = SA_SIGINFO;
  OK(sigaction(SIGUSR1, &action, nullptr));
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(interrupted_asleep(pause_here), -EINTR);
    EXPECT_EQ(seen_at, reinterpret_cast<uint64_t>(behind_the_pause));
    seen_at = 0;
  }
}

TEST(exception_out_of_a_blocked_local_call) {
  on_signal(SIGUSR1, throw_out, SA_NODEFER);
  const auto call = []() -> long {
    try {
      return pause();
    } catch (int number) {
      return number;
    }
  };
  for (int i = 0; i < 20; i++) EXPECT_EQ(interrupted_asleep(call), 7);
}
