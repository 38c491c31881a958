// SPDX-License-Identifier: Apache-2.0
//
// Signals that a program usually raises by a fault, sent by another process: blocked, ignored, with
// a handler and without, while calls of all kinds wait. The hook needs some of them for itself.

#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"

namespace {

constexpr int kSignals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};

sigset_t set_of(int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  return set;
}

void block(int sig) {
  const sigset_t set = set_of(sig);
  OK(pthread_sigmask(SIG_BLOCK, &set, nullptr));
}

void unblock(int sig) {
  const sigset_t set = set_of(sig);
  OK(pthread_sigmask(SIG_UNBLOCK, &set, nullptr));
}

bool is_pending(int sig) {
  sigset_t set;
  OK(sigpending(&set));
  return sigismember(&set, sig) == 1;
}

std::atomic<int> caught{0}, sender{0};

void note(int, siginfo_t* info, void*) {
  sender = info->si_pid;
  caught++;
}

void catch_signal(int sig, int flags = 0) {
  struct sigaction action = {};
  action.sa_sigaction = note;
  action.sa_flags = SA_SIGINFO | flags;
  OK(sigaction(sig, &action, nullptr));
}

// Whether the process sleeps in a system call: field 3 of /proc/PID/stat.
bool sleeps(pid_t pid) {
  char path[40], text[64] = {};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = OK(open(path, O_RDONLY));
  OK(read(fd, text, sizeof text - 1));
  close(fd);
  const char* end = strrchr(text, ')');
  return end && end[2] == 'S';
}

// What a child waits in. Each returns at the latest when the peer's end is written to.
struct Place {
  int fd, pipe_end;
};
using Wait = long (*)(const Place&);

long in_recv(const Place& p) {
  char byte;
  return recv(p.fd, &byte, 1, 0);
}
long in_poll(const Place& p) {
  pollfd entry = {p.fd, POLLIN, 0};
  return poll(&entry, 1, -1);
}
long in_mixed_poll(const Place& p) {
  pollfd entries[2] = {{p.fd, POLLIN, 0}, {p.pipe_end, POLLIN, 0}};
  return poll(entries, 2, -1) > 0 ? 1 : -1;
}
long in_local_poll(const Place& p) {
  pollfd entry = {p.pipe_end, POLLIN, 0};
  return poll(&entry, 1, -1);
}
long in_epoll(const Place& p) {
  const int set = OK(epoll_create1(0));
  epoll_event event = {EPOLLIN, {}};
  OK(epoll_ctl(set, EPOLL_CTL_ADD, p.fd, &event));
  return epoll_wait(set, &event, 1, -1);
}
long in_read(const Place& p) {
  char byte;
  return read(p.pipe_end, &byte, 1);
}
long in_wait4(const Place& p) {
  const pid_t pid = fork();
  if (pid == 0) {
    char byte;
    while (read(p.pipe_end, &byte, 1) == -1) {
    }
    _exit(0);
  }
  int status;
  return waitpid(pid, &status, 0) == pid ? 1 : -1;
}

struct Named {
  const char* name;
  Wait wait;
};
constexpr Named kWaits[] = {{"recv", in_recv},
                            {"poll", in_poll},
                            {"mixed poll", in_mixed_poll},
                            {"local poll", in_local_poll},
                            {"epoll_wait", in_epoll},
                            {"read", in_read},
                            {"wait4", in_wait4}};

// A child that prepares, waits, and then checks. The signal comes once it sleeps; what ends its
// wait comes afterwards. Returns its status.
template <class Before, class After>
int signalled_while_waiting(int sig, Wait wait, bool release, Before before, After after) {
  Pair pair = tcp_pair();
  int ends[2];
  OK(pipe(ends));
  const pid_t pid = child([&] {
    before();
    after(wait({pair.a, ends[0]}));
  });
  while (!sleeps(pid)) sleep_ms(1);
  OK(kill(pid, sig));
  int status = -1;
  if (release) {
    OK(write(pair.b, "x", 1));
    OK(write(ends[1], "x", 1));
    status = wait_for(pid);
  } else {
    while (OK(waitpid(pid, &status, WNOHANG)) == 0) {
      kill(pid, sig);  // the first may have come before the wait
      sleep_ms(2);
    }
  }
  close(pair.a), close(pair.b), close(ends[0]), close(ends[1]);
  return status;
}

}  // namespace

TEST(default_action) {
  for (const Named& place : kWaits) {
    for (int sig : {SIGSEGV, SIGSYS, SIGILL}) {
      const int status = signalled_while_waiting(sig, place.wait, false, [] {}, [](long) {});
      EXPECT(WIFSIGNALED(status));
      EXPECT_EQ(WTERMSIG(status), sig);
    }
  }
}

TEST(handler_ends_the_wait) {
  for (const Named& place : kWaits) {
    for (int sig : {SIGSEGV, SIGSYS, SIGBUS}) {
      const pid_t parent = getpid();
      const int status = signalled_while_waiting(
          sig, place.wait, false, [=] { catch_signal(sig); },
          [=](long result) {
            EXPECT_EQ(result, -1);
            EXPECT(caught > 0);
            EXPECT_EQ(sender, parent);
          });
      EXPECT_EQ(status, 0);
    }
  }
}

TEST(handler_with_restart) {
  for (const Named& place : {kWaits[0], kWaits[5], kWaits[6]}) {
    for (int sig : {SIGSEGV, SIGILL}) {
      const int status = signalled_while_waiting(
          sig, place.wait, true, [=] { catch_signal(sig, SA_RESTART); },
          [=](long result) {
            EXPECT_EQ(result, 1);
            EXPECT_EQ(caught, 1);
          });
      EXPECT_EQ(status, 0);
    }
  }
}

TEST(blocked_stays_pending) {
  for (const Named& place : kWaits) {
    for (int sig : {SIGSEGV, SIGSYS, SIGBUS}) {
      const int status = signalled_while_waiting(
          sig, place.wait, true,
          [=] {
            catch_signal(sig);
            block(sig);
          },
          [=](long result) {
            EXPECT_EQ(result, 1);
            EXPECT_EQ(caught, 0);
            EXPECT(is_pending(sig));
            unblock(sig);
            EXPECT_EQ(caught, 1);
            EXPECT(!is_pending(sig));
          });
      EXPECT_EQ(status, 0);
    }
  }
}

TEST(ignored) {
  for (const Named& place : kWaits) {
    const int status = signalled_while_waiting(
        SIGSEGV, place.wait, true, [] { signal(SIGSEGV, SIG_IGN); },
        [](long result) {
          EXPECT_EQ(result, 1);
          EXPECT(!is_pending(SIGSEGV));
        });
    EXPECT_EQ(status, 0);
  }
}

TEST(to_itself_while_blocked) {
  for (int sig : kSignals) {
    caught = 0;
    catch_signal(sig);
    block(sig);
    OK(raise(sig));
    OK(kill(getpid(), sig));
    EXPECT_EQ(caught, 0);
    EXPECT(is_pending(sig));
    signal(sig, SIG_IGN);  // forgets it
    EXPECT(!is_pending(sig));
    catch_signal(sig);
    unblock(sig);
    EXPECT_EQ(caught, 0);
  }
}

TEST(waited_for) {
  for (int sig : kSignals) {
    block(sig);
    const sigset_t set = set_of(sig);
    OK(kill(getpid(), sig));
    siginfo_t info = {};
    EXPECT_EQ(sigwaitinfo(&set, &info), sig);
    EXPECT_EQ(info.si_pid, getpid());
    EXPECT_EQ(info.si_code, SI_USER);
    timespec none = {};
    EXPECT_ERR(sigtimedwait(&set, &info, &none), EAGAIN);
    // And one that comes during the wait.
    const pid_t parent = getpid();
    const pid_t pid = child([=] {
      while (!sleeps(parent)) sleep_ms(1);
      OK(sigqueue(parent, sig, {.sival_int = 7}));
    });
    EXPECT_EQ(sigwaitinfo(&set, &info), sig);
    EXPECT_EQ(info.si_value.sival_int, 7);
    EXPECT_EXIT(pid, 0);
  }
}

TEST(by_signalfd) {
  for (int sig : kSignals) {
    block(sig);
    const sigset_t set = set_of(sig);
    const int fd = OK(signalfd(-1, &set, SFD_CLOEXEC));
    const int epoll_set = OK(epoll_create1(0));
    epoll_event event = {EPOLLIN, {}};
    OK(epoll_ctl(epoll_set, EPOLL_CTL_ADD, fd, &event));
    const pid_t parent = getpid();
    pollfd entry = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 0), 0);
    const pid_t pid = child([=] {
      while (!sleeps(parent)) sleep_ms(1);
      OK(kill(parent, sig));
    });
    EXPECT_EQ(epoll_wait(epoll_set, &event, 1, -1), 1);
    EXPECT_EQ(poll(&entry, 1, 0), 1);
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    EXPECT_EQ(select(fd + 1, &readable, nullptr, nullptr, nullptr), 1);
    signalfd_siginfo record = {};
    EXPECT_EQ(read(fd, &record, sizeof record), static_cast<long>(sizeof record));
    EXPECT_EQ(record.ssi_signo, static_cast<unsigned>(sig));
    EXPECT_EQ(record.ssi_pid, static_cast<unsigned>(pid));
    EXPECT(!is_pending(sig));
    EXPECT_EXIT(pid, 0);
    close(fd), close(epoll_set);
  }
}

TEST(suspended_for_it) {
  for (int sig : kSignals) {
    caught = 0;
    catch_signal(sig);
    block(sig);
    OK(kill(getpid(), sig));
    EXPECT_EQ(caught, 0);
    sigset_t all_but;
    sigfillset(&all_but);
    sigdelset(&all_but, sig);
    EXPECT_ERR(sigsuspend(&all_but), EINTR);
    EXPECT_EQ(caught, 1);
    EXPECT(!is_pending(sig));
    unblock(sig);
  }
}

// A thread takes what the main thread blocks, if it does not block it, or waits for it.
TEST(taken_by_another_thread) {
  for (int sig : kSignals) {
    block(sig);
    std::thread waiter([=] {
      const sigset_t set = set_of(sig);
      const timespec limit = {3, 0};
      EXPECT_EQ(sigtimedwait(&set, nullptr, &limit), sig);
    });
    OK(kill(getpid(), sig));
    waiter.join();
    caught = 0;
    catch_signal(sig);
    Pair pair = tcp_pair();
    std::thread open([=] {
      unblock(sig);
      char byte = 0;
      EXPECT_EQ(recv(pair.a, &byte, 1, 0) == 1 || errno == EINTR, true);
    });
    OK(kill(getpid(), sig));
    for (int i = 0; i < 3000 && caught == 0; i++) sleep_ms(1);
    OK(write(pair.b, "x", 1));
    open.join();
    EXPECT_EQ(caught, 1);
    unblock(sig);
  }
}

namespace {

std::atomic<int> counts[65];
void count(int sig) {
  counts[sig]++;
}

void count_signals(int flags) {
  for (int sig : kSignals) {
    struct sigaction action = {};
    action.sa_handler = count;
    action.sa_flags = flags;
    OK(sigaction(sig, &action, nullptr));
  }
}

int counted() {
  int all = 0;
  for (int sig : kSignals) all += counts[sig] == 1;
  return all;
}

constexpr int kAll = sizeof kSignals / sizeof *kSignals;

sigset_t mask() {
  sigset_t now;
  OK(pthread_sigmask(SIG_SETMASK, nullptr, &now));
  return now;
}

}  // namespace

// All of them at once: each handler runs once, and the mask is what it was.
TEST(all_at_once_while_waiting) {
  for (const Named& place : kWaits) {
    for (int flags : {0, SA_NODEFER, SA_RESTART}) {
      Pair pair = tcp_pair();
      int ends[2];
      OK(pipe(ends));
      const pid_t pid = child([&] {
        count_signals(flags);
        const sigset_t before = mask();
        while (counted() < kAll && place.wait({pair.a, ends[0]}) < 0) {
        }
        for (int i = 0; i < 2000 && counted() < kAll; i++) sleep_ms(1);
        EXPECT_EQ(counted(), kAll);
        const sigset_t after = mask();
        EXPECT(memcmp(&before, &after, 8) == 0);
      });
      while (!sleeps(pid)) sleep_ms(1);
      for (int sig : kSignals) OK(kill(pid, sig));
      sleep_ms(5);
      OK(write(pair.b, "x", 1));
      OK(write(ends[1], "xxxxxxxx", 8));  // one for each attempt
      EXPECT_EXIT(pid, 0);
      close(pair.a), close(pair.b), close(ends[0]), close(ends[1]);
    }
  }
}

TEST(all_at_once_while_computing) {
  for (int flags : {0, SA_NODEFER}) {
    for (bool calls : {false, true}) {
      int ends[2];
      OK(pipe(ends));
      const pid_t pid = child([&] {
        count_signals(flags);
        const sigset_t before = mask();
        Pair pair = udp_pair();
        OK(write(ends[1], "r", 1));
        for (int i = 0; i < 200'000'000 && counted() < kAll; i++) {
          if (calls) EXPECT(recv(pair.a, nullptr, 0, MSG_DONTWAIT) == -1);
        }
        EXPECT_EQ(counted(), kAll);
        const sigset_t after = mask();
        EXPECT(memcmp(&before, &after, 8) == 0);
      });
      char byte;
      OK(read(ends[0], &byte, 1));
      for (int sig : kSignals) OK(kill(pid, sig));
      EXPECT_EXIT(pid, 0);
      close(ends[0]), close(ends[1]);
    }
  }
}

TEST(all_at_once_when_unblocked) {
  EXPECT_EXIT(child([] {
                count_signals(0);
                sigset_t all;
                sigfillset(&all);
                const sigset_t before = mask();
                OK(pthread_sigmask(SIG_SETMASK, &all, nullptr));
                for (int sig : kSignals) OK(kill(getpid(), sig));
                for (int sig : kSignals) OK(pthread_kill(pthread_self(), sig));
                EXPECT_EQ(counted(), 0);
                OK(pthread_sigmask(SIG_SETMASK, &before, nullptr));
                for (int sig : kSignals) EXPECT(counts[sig] >= 1);
                const sigset_t after = mask();
                EXPECT(memcmp(&before, &after, 8) == 0);
              }),
              0);
}

// What is pending stays so for the next program.
HELPER(pending) {
  for (int sig : kSignals) EXPECT(is_pending(sig));
  for (int sig : kSignals) {
    catch_signal(sig);
    unblock(sig);
  }
  EXPECT_EQ(caught, 6);
  return check::failures ? 1 : 0;
}

TEST(pending_across_exec) {
  const pid_t pid = child([] {
    for (int sig : kSignals) {
      block(sig);
      OK(kill(getpid(), sig));
    }
    execl("/proc/self/exe", "sent_signals", "@pending", nullptr);
    EXPECT(false);
  });
  EXPECT_EXIT(pid, 0);
  // A child inherits the mask, and nothing that is pending.
  block(SIGSEGV);
  OK(kill(getpid(), SIGSEGV));
  EXPECT_EXIT(child([] { EXPECT(!is_pending(SIGSEGV)); }), 0);
  EXPECT(is_pending(SIGSEGV));
}
