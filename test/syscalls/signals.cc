// SPDX-License-Identifier: Apache-2.0
//
// Blocked calls hit by signals: which calls end with EINTR, which go on, and what a handler finds.
// The state that signals touch (masks, stacks, pending sets) has to be as the program left it.

#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// A socket of each kind that a call can block on, with nothing to read.
struct Idle {
  Pair pair = tcp_pair();
  int from = listener();
  int pipes[2];
  char byte = 0;

  Idle() { OK(pipe(pipes)); }
};

void expect_interrupted(Outcome* outcome, const char* name) {
  if (outcome->result == -1 && outcome->error == EINTR) return;
  errno = outcome->error;
  check::fail("signals.cc", __LINE__, name, check::outcome(outcome->result));
}

#define EXPECT_INTERRUPTED(call)                                    \
  do {                                                              \
    Outcome outcome_;                                               \
    interrupt_until_done(&outcome_, SIGUSR1, [&] { return call; }); \
    expect_interrupted(&outcome_, #call);                           \
  } while (0)

// Sends until nothing more goes, and nothing is on its way to make room.
void fill(int fd, const std::vector<char>& data) {
  OK(set_option(fd, SOL_SOCKET, SO_SNDBUF, 10000));
  do {
    while (send(fd, data.data(), data.size(), MSG_DONTWAIT) > 0) {
    }
  } while (events_of(fd, POLLOUT, 60) != 0);
}

int connect_to_nobody(int from, int* fillers) {
  sockaddr_in address = name_of(from);
  for (int i = 0; i < 2; i++) {
    fillers[i] = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    EXPECT_ERR(connect(fillers[i], generic(&address), sizeof address), EINPROGRESS);
  }
  return OK(socket(AF_INET, SOCK_STREAM, 0));
}

}  // namespace

TEST(without_restart) {
  on_signal(SIGUSR1, count_signal);
  Idle idle;
  iovec part = {&idle.byte, 1};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  mmsghdr many = {message, 0};
  EXPECT_INTERRUPTED(read(idle.pair.a, &idle.byte, 1));
  EXPECT_INTERRUPTED(readv(idle.pair.a, &part, 1));
  EXPECT_INTERRUPTED(recv(idle.pair.a, &idle.byte, 1, 0));
  EXPECT_INTERRUPTED(recvmsg(idle.pair.a, &message, 0));
  EXPECT_INTERRUPTED(recvmmsg(idle.pair.a, &many, 1, 0, nullptr));
  EXPECT_INTERRUPTED(accept(idle.from, nullptr, nullptr));
  EXPECT_INTERRUPTED(accept4(idle.from, nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_INTERRUPTED(recv(udp_pair().a, &idle.byte, 1, 0));
  std::vector<char> data(64 << 20);
  OK(set_option(idle.pair.a, SOL_SOCKET, SO_RCVBUF, 10000));
  fill(idle.pair.b, data);
  EXPECT_INTERRUPTED(send(idle.pair.b, data.data(), data.size(), 0));
  EXPECT_INTERRUPTED(write(idle.pair.b, data.data(), data.size()));
  EXPECT(handled >= 10);
  char byte;
  EXPECT_EQ(recv(idle.pair.a, &byte, 1, 0), 1);  // all still works
}

// These end with EINTR whatever the handler's flags say.
TEST(waits_never_restart) {
  Idle idle;
  pollfd mixed[2] = {{idle.pair.a, POLLIN, 0}, {idle.pipes[0], POLLIN, 0}};
  int ep = OK(epoll_create1(0));
  for (auto& entry : mixed) {
    epoll_event event = {EPOLLIN, {.fd = entry.fd}};
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, entry.fd, &event));
  }
  epoll_event event;
  fd_set set;
  timeval limit = {30, 0};
  for (int flags : {0, SA_RESTART}) {
    on_signal(SIGUSR1, count_signal, flags);
    EXPECT_INTERRUPTED(poll(mixed, 1, 30000));
    EXPECT_INTERRUPTED(poll(mixed, 2, -1));
    EXPECT_INTERRUPTED(ppoll(mixed, 2, nullptr, nullptr));
    EXPECT_INTERRUPTED(epoll_wait(ep, &event, 1, 30000));
    EXPECT_INTERRUPTED(epoll_pwait(ep, &event, 1, -1, nullptr));
    for (int fd : {idle.pair.a, idle.pipes[0]}) {
      FD_ZERO(&set);
      FD_SET(idle.pair.a, &set);
      FD_SET(fd, &set);
      EXPECT_INTERRUPTED(select(FD_SETSIZE, &set, nullptr, nullptr, &limit));
    }
  }
}

TEST(with_restart) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  char byte = 0;
  auto pester = [&](Outcome* outcome, pthread_t thread) {
    int before = handled;
    while (handled < before + 5) {
      pthread_kill(thread, SIGUSR1);
      sleep_ms(5);
    }
    EXPECT(!outcome->done);
  };
  Outcome received;
  while_blocked(
      &received, [&] { return recv(idle.pair.a, &byte, 1, 0); },
      [&](pthread_t thread) {
        pester(&received, thread);
        EXPECT_EQ(write(idle.pair.b, "r", 1), 1);
      });
  EXPECT_EQ(received.result, 1);
  EXPECT_EQ(byte, 'r');
  Outcome accepted;
  int client = -1;
  while_blocked(
      &accepted, [&] { return accept(idle.from, nullptr, nullptr); },
      [&](pthread_t thread) {
        pester(&accepted, thread);
        client = connected_to(idle.from);
      });
  EXPECT(accepted.result > 0);
  EXPECT(pair_works({client, static_cast<int>(accepted.result)}));
}

// A limit on the waiting time makes a call end with EINTR even so.
TEST(restart_with_time_limit) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  timeval limit = {15, 0};
  for (int fd : {idle.pair.a, idle.from}) {
    OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  }
  EXPECT_INTERRUPTED(recv(idle.pair.a, &idle.byte, 1, 0));
  EXPECT_INTERRUPTED(accept(idle.from, nullptr, nullptr));
}

TEST(partial_counts) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Idle idle;
  char bytes[100];
  EXPECT_EQ(write(idle.pair.b, "0123456789", 10), 10);
  Outcome received;
  interrupt_until_done(&received, SIGUSR1,
                       [&] { return recv(idle.pair.a, bytes, sizeof bytes, MSG_WAITALL); });
  EXPECT_EQ(received.result, 10);
  std::vector<char> data(64 << 20);
  Outcome sent;
  interrupt_until_done(&sent, SIGUSR1,
                       [&] { return send(idle.pair.b, data.data(), data.size(), 0); });
  EXPECT(sent.result > 0 && sent.result < static_cast<long>(data.size()));
  OK(shutdown(idle.pair.b, SHUT_WR));
  long total = 0;
  for (ssize_t n; (n = recv(idle.pair.a, data.data(), data.size(), 0)) > 0;) total += n;
  EXPECT_EQ(total, sent.result);  // exactly what the interrupted call said
}

TEST(connecting) {
  on_signal(SIGUSR1, count_signal);
  int from = listener(0, 0), fillers[2];
  int fd = connect_to_nobody(from, fillers);
  sockaddr_in address = name_of(from);
  EXPECT_INTERRUPTED(connect(fd, generic(&address), sizeof address));
  // The attempt goes on behind the program's back.
  OK(fcntl(fd, F_SETFL, O_NONBLOCK));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EALREADY);
}

TEST(timer_in_the_first_thread) {
  on_signal(SIGALRM, count_signal);
  Idle idle;
  alarm_every(20);
  EXPECT_ERR(recv(idle.pair.a, &idle.byte, 1, 0), EINTR);
  EXPECT_ERR(accept(idle.from, nullptr, nullptr), EINTR);
  pollfd mixed[2] = {{idle.pair.a, POLLIN, 0}, {idle.pipes[0], POLLIN, 0}};
  EXPECT_ERR(poll(mixed, 2, -1), EINTR);
  alarm_every(0);
  EXPECT(handled >= 3);
}

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
  expect_interrupted(&outcome, "recv");
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
  // A second signal would kill: so there is only one, and data for the case that it came too early.
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

TEST(default_action_kills) {
  Idle idle;
  pid_t pid = child([&] { recv(idle.pair.a, &idle.byte, 1, 0); });
  sleep_ms(30);
  kill(pid, SIGTERM);
  int status = wait_for(pid);
  EXPECT(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT(pair_works(idle.pair));
}

TEST(stop_and_continue) {
  Idle idle;
  pid_t pid = child([&] {
    EXPECT_EQ(recv(idle.pair.a, &idle.byte, 1, 0), 1);
    EXPECT_EQ(idle.byte, 'c');
  });
  sleep_ms(30);
  kill(pid, SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT(WIFSTOPPED(status));
  kill(pid, SIGCONT);
  sleep_ms(10);
  EXPECT_EQ(write(idle.pair.b, "c", 1), 1);
  EXPECT_EXIT(pid, 0);
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
