// SPDX-License-Identifier: Apache-2.0
//
// Owners of sockets: who is sent SIGIO, SIGURG and what F_SETSIG puts in their place when the owner
// is a thread, another process or a group, and what the owner is told.

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"

namespace {

// What handlers have seen; shared with children.
struct Seen {
  std::atomic<int> count, thread, fd, code, band;
};
Seen* seen;

Seen* shared_seen() {
  void* at = mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return new (at) Seen{};
}

int thread_id() {
  return static_cast<int>(syscall(SYS_gettid));
}

void note(int, siginfo_t* info, void*) {
  seen->thread = thread_id();
  seen->fd = info->si_fd;
  seen->code = info->si_code;
  seen->band = static_cast<int>(info->si_band);
  seen->count++;
}

void note_on(int signo, int flags = 0) {
  if (seen == nullptr) seen = shared_seen();
  struct sigaction action = {};
  action.sa_sigaction = note;
  action.sa_flags = SA_SIGINFO | flags;
  OK(sigaction(signo, &action, nullptr));
}

template <class Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 1000; i++) {
    if (condition()) return true;
    sleep_ms(10);
  }
  return false;
}

void asynchronous(int fd) {
  OK(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
}

}  // namespace

TEST(input_without_f_setsig) {
  note_on(SIGIO);
  Pair pair = udp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  asynchronous(pair.b);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT(comes_true([] { return seen->count > 0; }));
  EXPECT_EQ(seen->code, SI_KERNEL);
  EXPECT_EQ(seen->fd, 0);
}

TEST(reasons) {
  note_on(SIGRTMIN + 1);
  Pair pair = tcp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  OK(fcntl(pair.b, F_SETSIG, SIGRTMIN + 1));
  asynchronous(pair.b);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT(comes_true([] { return seen->count > 0; }));
  EXPECT_EQ(seen->code, POLL_IN);
  EXPECT_EQ(seen->band, POLLIN | POLLRDNORM);
  EXPECT_EQ(seen->fd, pair.b);
  EXPECT_EQ(fcntl(pair.b, F_GETSIG), SIGRTMIN + 1);
  seen->count = 0;
  linger reset = {1, 0};
  OK(setsockopt(pair.a, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
  OK(close(pair.a));
  EXPECT(comes_true([] { return seen->code == POLL_ERR || seen->code == POLL_HUP; }));
  EXPECT(seen->band & (POLLERR | POLLHUP));
}

// Before O_ASYNC is set, and without it.
TEST(urgent_data) {
  note_on(SIGURG);
  on_signal(SIGIO, count_signal);
  Pair pair = tcp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  EXPECT_EQ(send(pair.a, "!", 1, MSG_OOB), 1);
  EXPECT(comes_true([] { return seen->count > 0; }));
  EXPECT_EQ(seen->code, SI_KERNEL);
  EXPECT_EQ(handled, 0);
  char byte = 0;
  EXPECT_EQ(recv(pair.b, &byte, 1, MSG_OOB), 1);
  EXPECT_EQ(byte, '!');
}

TEST(read_back) {
  Pair pair = udp_pair();
  EXPECT_EQ(fcntl(pair.a, F_GETOWN), 0);
  OK(fcntl(pair.a, F_SETOWN, getpid()));
  OK(fcntl(pair.b, F_SETOWN, -getpgrp()));
  EXPECT_EQ(fcntl(pair.a, F_GETOWN), getpid());
  f_owner_ex owner = {};
  OK(fcntl(pair.b, F_GETOWN_EX, &owner));
  EXPECT_EQ(owner.type, F_OWNER_PGRP);
  EXPECT_EQ(owner.pid, getpgrp());
  int number = 0;
  OK(ioctl(pair.b, FIOGETOWN, &number));
  EXPECT_EQ(number, -getpgrp());
  number = getpid();
  OK(ioctl(pair.b, FIOSETOWN, &number));
  OK(ioctl(pair.b, SIOCGPGRP, &number));
  EXPECT_EQ(number, getpid());
  owner = {F_OWNER_TID, thread_id()};
  OK(fcntl(pair.b, F_SETOWN_EX, &owner));
  owner = {};
  OK(fcntl(pair.b, F_GETOWN_EX, &owner));
  EXPECT_EQ(owner.type, F_OWNER_TID);
  EXPECT_EQ(owner.pid, thread_id());
  int copy = OK(dup(pair.b));
  EXPECT_EQ(fcntl(copy, F_GETOWN), thread_id());
  OK(fcntl(copy, F_SETOWN, 0));
  EXPECT_EQ(fcntl(pair.b, F_GETOWN), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETOWN), getpid());
  EXPECT_EQ(fcntl(pair.a, F_GETSIG), 0);
  OK(fcntl(pair.a, F_SETSIG, SIGRTMIN));
  EXPECT_EQ(fcntl(pair.a, F_GETSIG), SIGRTMIN);
  EXPECT_EQ(fcntl(pair.b, F_GETSIG), 0);
}

TEST(bad_owners) {
  Pair pair = udp_pair();
  const int nobody = 1 << 30;
  EXPECT_ERR(fcntl(pair.a, F_SETOWN, nobody), ESRCH);
  EXPECT_ERR(fcntl(pair.a, F_SETOWN, -nobody), ESRCH);
  EXPECT_ERR(fcntl(pair.a, F_SETOWN, INT32_MIN), EINVAL);
  EXPECT_ERR(ioctl(pair.a, FIOSETOWN, &nobody), ESRCH);
  EXPECT_ERR(ioctl(pair.a, SIOCSPGRP, 8), EFAULT);
  EXPECT_ERR(ioctl(pair.a, SIOCGPGRP, 8), EFAULT);
  EXPECT_ERR(fcntl(pair.a, F_SETOWN_EX, 8), EFAULT);
  EXPECT_ERR(fcntl(pair.a, F_GETOWN_EX, 8), EFAULT);
  int no_type[2] = {7, getpid()};
  EXPECT_ERR(fcntl(pair.a, F_SETOWN_EX, no_type), EINVAL);
  f_owner_ex owner = {F_OWNER_TID, nobody};
  EXPECT_ERR(fcntl(pair.a, F_SETOWN_EX, &owner), ESRCH);
  EXPECT_EQ(fcntl(pair.a, F_GETOWN), 0);
}

TEST(set_by_ioctl) {
  note_on(SIGIO);
  Pair pair = udp_pair();
  int self = getpid(), on = 1;
  OK(ioctl(pair.b, SIOCSPGRP, &self));
  OK(ioctl(pair.b, FIOASYNC, &on));
  EXPECT_EQ(fcntl(pair.b, F_GETFL) & O_ASYNC, O_ASYNC);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT(comes_true([] { return seen->count > 0; }));
  on = 0;
  OK(ioctl(pair.b, FIOASYNC, &on));
  EXPECT_EQ(fcntl(pair.b, F_GETFL) & O_ASYNC, 0);
}

// The thread that owns the socket gets the signal, in a blocked call; the others do not.
TEST(thread) {
  note_on(SIGRTMIN + 1);
  Pair pair = udp_pair(), idle = tcp_pair();
  std::atomic<int> owner_id{0};
  std::atomic<bool> done{false};
  std::thread owner([&] {
    owner_id = thread_id();
    char byte;
    EXPECT_ERR(recv(idle.a, &byte, 1, 0), EINTR);
    done = true;
  });
  EXPECT(comes_true([&] { return owner_id != 0; }));
  f_owner_ex to = {F_OWNER_TID, owner_id};
  OK(fcntl(pair.b, F_SETOWN_EX, &to));
  OK(fcntl(pair.b, F_SETSIG, SIGRTMIN + 1));
  asynchronous(pair.b);
  // Sent repeatedly: the first may arrive before the call blocks.
  EXPECT(comes_true([&] {
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    return done.load();
  }));
  owner.join();
  EXPECT_EQ(seen->thread, owner_id);
}

// Each of many threads has a socket, and is told about that one.
TEST(many_threads) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  OK(sigprocmask(SIG_BLOCK, &set, nullptr));
  constexpr int kThreads = 80;
  Pair pairs[kThreads];
  std::atomic<int> ids[kThreads] = {};
  std::thread threads[kThreads];
  for (int i = 0; i < kThreads; i++) {
    pairs[i] = udp_pair();
    threads[i] = std::thread([&, i] {
      ids[i] = thread_id();
      siginfo_t info = {};
      timespec patience = {15, 0};
      EXPECT_EQ(sigtimedwait(&set, &info, &patience), SIGRTMIN + 1);
      EXPECT_EQ(info.si_fd, pairs[i].b);
      EXPECT_EQ(info.si_code, POLL_IN);
    });
  }
  for (int i = 0; i < kThreads; i++) {
    EXPECT(comes_true([&] { return ids[i] != 0; }));
    f_owner_ex owner = {F_OWNER_TID, ids[i]};
    OK(fcntl(pairs[i].b, F_SETOWN_EX, &owner));
    OK(fcntl(pairs[i].b, F_SETSIG, SIGRTMIN + 1));
    asynchronous(pairs[i].b);
  }
  for (Pair& pair : pairs) EXPECT_EQ(write(pair.a, "x", 1), 1);
  for (std::thread& thread : threads) thread.join();
}

// Owners that come and go leave nothing behind that would keep the next ones out.
TEST(one_after_another) {
  note_on(SIGIO);
  Pair pair = udp_pair();
  asynchronous(pair.b);
  for (int i = 0; i < 700; i++) {
    f_owner_ex owner = {F_OWNER_PGRP, getpgrp()};
    OK(fcntl(pair.a, F_SETOWN_EX, &owner));
    OK(fcntl(pair.a, F_SETOWN, i % 2 ? getppid() : getpid()));
  }
  const pid_t pid = child([&] {
    for (int i = 0; i < 700; i++) {
      std::thread([&] {
        f_owner_ex owner = {F_OWNER_TID, thread_id()};
        OK(fcntl(pair.a, F_SETOWN_EX, &owner));
      }).join();
    }
  });
  EXPECT_EXIT(pid, 0);
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT(comes_true([] { return seen->count > 0; }));
}

TEST(blocked_call) {
  Pair pair = udp_pair(), idle = tcp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  asynchronous(pair.b);
  for (int flags : {0, SA_RESTART}) {
    note_on(SIGIO, flags);
    seen->count = 0;
    std::atomic<bool> done{false};
    std::thread sender([&] {
      sigset_t set;
      sigfillset(&set);
      OK(pthread_sigmask(SIG_BLOCK, &set, nullptr));
      sleep_ms(30);
      while (!done && !(flags && seen->count > 0)) {
        EXPECT_EQ(write(pair.a, "x", 1), 1);
        sleep_ms(20);
      }
      if (flags) EXPECT_EQ(write(idle.b, "y", 1), 1);
    });
    char byte = 0;
    if (flags) {
      EXPECT_EQ(recv(idle.a, &byte, 1, 0), 1);
      EXPECT_EQ(byte, 'y');
    } else {
      EXPECT_ERR(recv(idle.a, &byte, 1, 0), EINTR);
    }
    done = true;
    sender.join();
    EXPECT(seen->count > 0);
  }
}

// Every signal of a queue arrives, while the program makes other calls.
TEST(many) {
  note_on(SIGRTMIN + 1, SA_RESTART);
  Pair pair = udp_pair(), other = tcp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  OK(fcntl(pair.b, F_SETSIG, SIGRTMIN + 1));
  asynchronous(pair.b);
  constexpr int kMany = 100;
  for (int i = 0; i < kMany; i++) {
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(pair_works(other));
  }
  EXPECT(comes_true([&] { return seen->count >= kMany; }));
  EXPECT_EQ(seen->count, kMany);
  char byte;
  for (int i = 0; i < kMany; i++) EXPECT_EQ(read(pair.b, &byte, 1), 1);
}

TEST(default_action) {
  for (int signo : {0, SIGRTMIN + 1}) {
    pid_t pid = child([&] {
      Pair pair = udp_pair();
      OK(fcntl(pair.b, F_SETOWN, getpid()));
      OK(fcntl(pair.b, F_SETSIG, signo));
      asynchronous(pair.b);
      EXPECT_EQ(write(pair.a, "x", 1), 1);
      sleep_ms(10000);
    });
    int status = wait_for(pid);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), signo ? signo : SIGIO);
  }
}

namespace {

pid_t waits_for_signal(int* ready) {
  return child([&] {
    note_on(SIGIO);
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    EXPECT(comes_true([] { return seen->count > 0; }));
    EXPECT_EQ(seen->thread, getpid());
  });
}

}  // namespace

TEST(another_process) {
  int ready[2];
  char byte;
  OK(pipe(ready));
  Pair pair = udp_pair();
  pid_t pid = waits_for_signal(ready);
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  OK(fcntl(pair.b, F_SETOWN, pid));
  asynchronous(pair.b);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT_EXIT(pid, 0);
}

// The owner stays the one that was set, in whatever process has the socket.
TEST(inherited) {
  note_on(SIGIO);
  Pair pair = udp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  asynchronous(pair.b);
  pid_t pid = child([&] {
    on_signal(SIGIO, SIG_DFL);
    close(pair.b);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    sleep_ms(50);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT(comes_true([] { return seen->count > 0; }));
  EXPECT_EQ(seen->thread, getpid());
}

TEST(group) {
  pid_t leader = child([] {
    OK(setpgid(0, 0));
    seen = shared_seen();
    int ready[2];
    char byte;
    OK(pipe(ready));
    struct sigaction action = {};
    static std::atomic<bool> here{false};
    action.sa_handler = [](int) {
      here = true;
      seen->count++;
    };
    OK(sigaction(SIGIO, &action, nullptr));
    Pair pair = udp_pair();
    pid_t member = child([&] {
      EXPECT_EQ(write(ready[1], "r", 1), 1);
      EXPECT(comes_true([] { return here.load(); }));
    });
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    OK(fcntl(pair.b, F_SETOWN, -getpgrp()));
    asynchronous(pair.b);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT_EXIT(member, 0);
    EXPECT(comes_true([] { return here.load(); }));
    EXPECT_EQ(seen->count, 2);
  });
  EXPECT_EXIT(leader, 0);
}

// The one that set the owner must be allowed to signal it; otherwise nothing arrives. It may always
// signal itself.
TEST(of_another_user) {
  note_on(SIGIO);
  const pid_t above = getpid();
  pid_t pid = child([&] {
    seen = shared_seen();
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    Pair pair = udp_pair();
    OK(fcntl(pair.b, F_SETOWN, above));
    asynchronous(pair.b);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    OK(fcntl(pair.b, F_SETOWN, getpid()));
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(comes_true([] { return seen->count > 0; }));
    EXPECT_EQ(seen->thread, getpid());
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(seen->count, 0);
}

// Set by root, which may signal anybody, even after it is no longer root.
TEST(set_before_dropping_rights) {
  pid_t pid = child([] {
    note_on(SIGIO);
    Pair pair = udp_pair();
    OK(fcntl(pair.b, F_SETOWN, getpid()));
    asynchronous(pair.b);
    OK(setresuid(65534, 65534, 65534));
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(comes_true([] { return seen->count > 0; }));
  });
  EXPECT_EXIT(pid, 0);
}
