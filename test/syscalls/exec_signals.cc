// SPDX-License-Identifier: Apache-2.0
//
// Blocked and ignored signals across execve and posix_spawn, those that the hook needs for itself
// among them. The program executes itself, as a HELPER.

#include <signal.h>
#include <spawn.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

extern char** environ;

namespace {

constexpr const char* kSelf = "/proc/self/exe";

// argv for `@signals STATE`.
struct Words {
  char name[16] = "exec_signals", helper[16] = "@signals", number[16];
  char* pointers[4] = {name, helper, number, nullptr};

  explicit Words(int state) { snprintf(number, sizeof number, "%d", state); }
};

// Those that the hook needs for itself, and one that it does not.
constexpr int kSignals[] = {SIGILL, SIGBUS, SIGSEGV, SIGSYS, SIGUSR1};

// A bit for each of them that is blocked, and one for each that is ignored.
int signal_state() {
  sigset_t blocked;
  OK(sigprocmask(SIG_BLOCK, nullptr, &blocked));
  int state = 0, bit = 1;
  for (int sig : kSignals) {
    struct sigaction action;
    OK(sigaction(sig, nullptr, &action));
    if (sigismember(&blocked, sig) == 1) state |= bit;
    if (action.sa_handler == SIG_IGN) state |= bit << 8;
    bit <<= 1;
  }
  return state;
}

void block(int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  OK(sigprocmask(SIG_BLOCK, &set, nullptr));
}

}  // namespace

// Its signals are in the state that the first word says, and a socket can be used all the same.
HELPER(signals) {
  EXPECT_EQ(signal_state(), atoi(argv[2]));
  EXPECT(pair_works(tcp_pair()));
  return check::failures ? 1 : 0;
}

TEST(blocked_and_ignored_signals) {
  for (int i = 0; i < 5; i++) {
    for (bool ignored : {false, true}) {
      const auto change = [&] {
        if (ignored)
          signal(kSignals[i], SIG_IGN);
        else
          block(kSignals[i]);
      };
      const int state = 1 << i << (ignored ? 8 : 0);
      pid_t pid = child([&] {
        change();
        EXPECT_EQ(signal_state(), state);
        execv(kSelf, Words(state).pointers);
      });
      EXPECT_EXIT(pid, 0);
      pid = child([&] {
        Pair pair = tcp_pair();
        change();
        pid_t spawned;
        EXPECT_EQ(posix_spawn(&spawned, kSelf, nullptr, nullptr, Words(state).pointers, environ),
                  0);
        EXPECT_EXIT(spawned, 0);
        EXPECT(pair_works(pair));
      });
      EXPECT_EXIT(pid, 0);
    }
  }
}

TEST(signals_after_a_failed_exec) {
  Pair pair = tcp_pair();
  for (int sig : {SIGSEGV, SIGSYS}) block(sig);
  signal(SIGBUS, SIG_IGN);
  signal(SIGILL, SIG_IGN);
  const int state = signal_state();
  EXPECT_ERR(execv("/nowhere", Words(0).pointers), ENOENT);
  EXPECT_ERR(execv("/", Words(0).pointers), EACCES);
  EXPECT_EQ(signal_state(), state);
  // What the hook needs them for still works.
  EXPECT_EQ(write(pair.b, "x", 1), 1);
  EXPECT(readable(pair.a));
  for (void* bad : bad_pointers()) EXPECT_ERR(recv(pair.a, bad, 1, 0), EFAULT);
}
