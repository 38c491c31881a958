// SPDX-License-Identifier: Apache-2.0
//
// Sockets in the lives of processes: who has them after fork, vfork, clone and posix_spawn, and
// that they keep working whoever ends first. Executed programs are in exec.cc.

#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// One capability of the calling thread.
class Capabilities {
 public:
  explicit Capabilities(int capability) : word_(capability / 32), bit_(1u << capability % 32) {
    OK(syscall(SYS_capget, &header_, data_));
  }
  enum Set { kEffective, kBoth };
  void set(Set sets, bool value) {
    change(data_[word_].effective, value);
    if (sets == kBoth) change(data_[word_].permitted, value);
    OK(syscall(SYS_capset, &header_, data_));
  }

 private:
  void change(uint32_t& word, bool value) const { word = value ? word | bit_ : word & ~bit_; }
  int word_;
  uint32_t bit_;
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data_[2]{};
};

}  // namespace

TEST(both_use_the_socket) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    echo_once(pair.b);
    echo_once(pair.b);
    EXPECT_EQ(close(pair.b), 0);
    EXPECT_EQ(close(pair.a), 0);
  });
  EXPECT(echoes(pair.a));
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  EXPECT(pair_works(pair));  // the child's close was only the child's
}

TEST(parent_closes_first) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    close(pair.a);
    echo_once(pair.b);
    sleep_ms(10);
    echo_once(pair.b);
  });
  EXPECT_EQ(close(pair.b), 0);
  EXPECT(echoes(pair.a));
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  char byte;
  EXPECT_EQ(read(pair.a, &byte, 1), 0);  // the death of the last owner closes
}

TEST(child_makes_its_own) {
  int from = listener();
  pid_t pid = child([&] {
    int client = connected_to(from);
    EXPECT(echoes(client));
    EXPECT(pair_works(tcp_pair()));
  });
  int server = OK(accept(from, nullptr, nullptr));
  echo_once(server);
  EXPECT_EXIT(pid, 0);
  // From then on, parent and child each have numbers of their own.
  int mine = OK(socket(AF_INET, SOCK_STREAM, 0));
  pid = child([&] {
    close(mine);
    EXPECT_EQ(OK(open("/dev/null", O_RDONLY)), mine);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(option(mine, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
}

TEST(several_accept) {
  int from = listener();
  pid_t pids[3];
  for (pid_t& pid : pids) {
    pid = child([&] {
      for (;;) {
        int fd = OK(accept(from, nullptr, nullptr));
        char byte = 0;
        EXPECT_EQ(read(fd, &byte, 1), 1);
        if (byte == 'q') break;
        EXPECT_EQ(write(fd, &byte, 1), 1);
        close(fd);
      }
    });
  }
  for (int i = 0; i < 30; i++) {
    int fd = connected_to(from);
    char byte = 0;
    EXPECT_EQ(write(fd, "x", 1), 1);
    EXPECT_EQ(read(fd, &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    close(fd);
  }
  int quits[3];
  for (int& fd : quits) {
    fd = connected_to(from);
    EXPECT_EQ(write(fd, "q", 1), 1);
  }
  for (pid_t pid : pids) EXPECT_EXIT(pid, 0);
}

TEST(two_hundred_forks) {
  int udp = bound(SOCK_DGRAM, loopback());
  sockaddr_in to = name_of(udp);
  for (int i = 0; i < 200; i++) {
    pid_t pid = child([&] {
      int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
      EXPECT_EQ(sendto(fd, &i, sizeof i, 0, generic(&to), sizeof to), sizeof i);
    });
    int got = -1;
    EXPECT_EQ(recv(udp, &got, sizeof got, 0), sizeof got);
    EXPECT_EQ(got, i);
    EXPECT_EXIT(pid, 0);
  }
}

TEST(deep_descent) {
  Pair pair = tcp_pair();
  pid_t pid = OK(fork());
  int depth = 0;
  while (pid == 0 && ++depth < 12) pid = OK(fork());
  if (depth == 12) {
    EXPECT_EQ(write(pair.b, "deep", 4), 4);
    _exit(42);
  }
  int status = wait_for(pid);
  EXPECT(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
  if (depth > 0) _exit(WEXITSTATUS(status));
  char text[8] = {};
  EXPECT_EQ(read(pair.a, text, 4), 4);
  EXPECT_TEXT(text, "deep");
}

TEST(daemon_outlives_its_parents) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    setsid();
    if (OK(fork()) > 0) _exit(0);
    sleep_ms(20);
    close(pair.a);
    echo_once(pair.b);
    EXPECT(pair_works(tcp_pair()));
    char result = check::failures ? 'n' : 'y';
    EXPECT_EQ(write(pair.b, &result, 1), 1);
  });
  EXPECT_EXIT(pid, 0);
  close(pair.b);
  EXPECT(echoes(pair.a));
  char byte = 0;
  EXPECT_EQ(read(pair.a, &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
}

TEST(violent_death_closes) {
  Pair pair = tcp_pair();
  int from = listener();
  sockaddr_in where = name_of(from);
  pid_t pid = child([&] {
    close(pair.a);
    char byte;
    accept(from, nullptr, nullptr);
    read(pair.b, &byte, 1);
  });
  close(pair.b);
  close(from);
  sleep_ms(20);
  kill(pid, SIGKILL);
  int status = wait_for(pid);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  char byte;
  EXPECT(readable(pair.a, 2000));
  EXPECT_EQ(recv(pair.a, &byte, 1, 0), 0);
  int late = OK(socket(AF_INET, SOCK_STREAM, 0));
  // The listener went with its last owner; give the cleanup a moment.
  int error = 0;
  for (int i = 0; i < 50; i++) {
    error = connect(late, generic(&where), sizeof where) == 0 ? 0 : errno;
    if (error == ECONNREFUSED) break;
    close(late);
    late = OK(socket(AF_INET, SOCK_STREAM, 0));
    sleep_ms(10);
  }
  EXPECT_EQ(error, ECONNREFUSED);
}

TEST(fork_beside_blocked_threads) {
  Pair pair = tcp_pair(), other = tcp_pair();
  char byte = 0;
  Outcome outcome;
  while_blocked(
      &outcome, [&] { return recv(pair.a, &byte, 1, 0); },
      [&](pthread_t) {
        for (int i = 0; i < 20; i++) {
          pid_t pid = child([&] {
            EXPECT(pair_works(other));
            EXPECT(pair_works(tcp_pair()));
          });
          EXPECT_EXIT(pid, 0);
        }
        EXPECT(!outcome.done);
        EXPECT_EQ(write(pair.b, "z", 1), 1);
      });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(byte, 'z');
}

TEST(threads_that_fork) {
  auto work = [] {
    for (int i = 0; i < 10; i++) {
      Pair pair = tcp_pair();
      pid_t pid = child([&] { echo_once(pair.b); });
      EXPECT(echoes(pair.a));
      EXPECT_EXIT(pid, 0);
      close_pair(pair);
    }
  };
  std::thread one(work), two(work), three(work);
  one.join();
  two.join();
  three.join();
}

TEST(raw_fork_calls) {
  Pair pair = tcp_pair();
  auto in_child = [&] {
    echo_once(pair.b);
    _exit(check::failures ? 1 : 9);
  };
  pid_t pid = static_cast<pid_t>(OK(syscall(SYS_fork)));
  if (pid == 0) in_child();
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 9);
  pid = static_cast<pid_t>(OK(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
  if (pid == 0) in_child();
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 9);
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  pid = static_cast<pid_t>(OK(syscall(SYS_clone3, &args, sizeof args)));
  if (pid == 0) in_child();
  EXPECT(pidfd > 2);
  EXPECT(echoes(pair.a));
  EXPECT(readable(pidfd));
  EXPECT_EXIT(pid, 9);
  EXPECT_ERR(syscall(SYS_clone3, &args, 8), EINVAL);
  EXPECT_ERR(syscall(SYS_clone3, bad_pointers()[1], sizeof args), EFAULT);
}

namespace {

char clone_stack[65536];

// The outcome; a child ends at once.
void report_clone3(const char* what, const clone_args& args, size_t size = sizeof(clone_args)) {
  const long pid = syscall(SYS_clone3, &args, size);
  if (pid == 0) _exit(0);
  check::report("%s: %s", what, check::outcome(pid));
  if (pid > 0) check::report("status %x", wait_for(static_cast<pid_t>(pid)));
}

int echo_in_clone(void* argument) {
  echo_once(static_cast<Pair*>(argument)->b);
  return 5;
}
}  // namespace

// Arguments that the kernel refuses, and some that it takes. No child is made by mistake.
TEST(arguments_of_clone3) {
  const auto stack = reinterpret_cast<uint64_t>(clone_stack);
  struct Longer {
    clone_args args;
    uint64_t more[4];
  } longer = {};
  longer.args.exit_signal = SIGCHLD;
  report_clone3("longer, zero", longer.args, sizeof longer);
  longer.more[3] = 1;
  report_clone3("longer, not zero", longer.args, sizeof longer);
  report_clone3("longer than a page", longer.args, 4097);
  const auto with = [](const char* what, auto change) {
    clone_args args = {};
    args.exit_signal = SIGCHLD;
    change(args);
    report_clone3(what, args);
  };
  with("plain", [](clone_args&) {});
  for (const uint64_t flags : {uint64_t{0}, uint64_t{CLONE_VM}}) {
    with("a stack of no size", [&](clone_args& a) { a.flags = flags, a.stack = stack; });
    with("a size without a stack", [&](clone_args& a) { a.flags = flags, a.stack_size = 4; });
    with("a size without end",
         [&](clone_args& a) { a.flags = flags, a.stack = stack, a.stack_size = ~uint64_t{0}; });
    with("beyond the end of memory",
         [&](clone_args& a) { a.flags = flags, a.stack = uint64_t{1} << 47, a.stack_size = 4096; });
    with("an unknown flag", [&](clone_args& a) { a.flags = flags | uint64_t{1} << 40; });
    with("CLONE_DETACHED", [&](clone_args& a) { a.flags = flags | 0x400000; });
    with("a signal among the flags", [&](clone_args& a) { a.flags = flags | SIGCHLD; });
    with("a signal that is none", [&](clone_args& a) { a.flags = flags, a.exit_signal = 65; });
    with("more than a signal", [&](clone_args& a) { a.flags = flags, a.exit_signal = 0x111; });
    with("ids of no number", [&](clone_args& a) { a.flags = flags, a.set_tid = stack; });
    with("a number of no ids", [&](clone_args& a) { a.flags = flags, a.set_tid_size = 3; });
    with("too many ids",
         [&](clone_args& a) { a.flags = flags, a.set_tid = stack, a.set_tid_size = 100; });
    with("a thread with a signal", [&](clone_args& a) { a.flags = flags | CLONE_THREAD; });
  }
  with("a group that is none",
       [](clone_args& a) { a.flags = uint64_t{1} << 33, a.cgroup = 0x1ffffffff; });
  EXPECT_ERR(waitpid(-1, nullptr, WNOHANG), ECHILD);
  EXPECT(pair_works(tcp_pair()));
}

TEST(clone_with_a_stack_of_its_own) {
  Pair pair = tcp_pair();
  pid_t pid = OK(clone(echo_in_clone, clone_stack + sizeof clone_stack, SIGCHLD, &pair));
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 5);
  EXPECT(pair_works(pair));
}

// As posix_spawn makes its processes.
TEST(clone_in_shared_memory_while_waiting) {
  Pair pair = tcp_pair();
  EXPECT_EQ(write(pair.a, "k", 1), 1);
  pid_t pid = OK(clone(echo_in_clone, clone_stack + sizeof clone_stack,
                       CLONE_VM | CLONE_VFORK | SIGCHLD, &pair));
  char byte = 0;
  EXPECT_EQ(recv(pair.a, &byte, 1, MSG_DONTWAIT), 1);  // it has ended before we go on
  EXPECT_EXIT(pid, 5);
  EXPECT(pair_works(pair));
}

// A process that shares memory and runs beside this one, with descriptors of its own.
TEST(clone_in_shared_memory) {
  Pair pair = tcp_pair();
  pid_t pid = OK(clone(echo_in_clone, clone_stack + sizeof clone_stack, CLONE_VM | SIGCHLD, &pair));
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 5);
  EXPECT(pair_works(pair));
}

TEST(clone_with_shared_descriptors) {
  auto body = [](void*) { return OK(socket(AF_INET, SOCK_DGRAM, 0)); };
  pid_t pid = OK(clone(body, clone_stack + sizeof clone_stack, CLONE_FILES | SIGCHLD, nullptr));
  int status = wait_for(pid);
  EXPECT(WIFEXITED(status));
  EXPECT_EQ(option(WEXITSTATUS(status), SOL_SOCKET, SO_TYPE), SOCK_DGRAM);  // it is ours, too
  EXPECT(pair_works(tcp_pair()));
}

TEST(vfork_child) {
  Pair pair = tcp_pair();
  pid_t pid = vfork();
  if (pid == 0) _exit(write(pair.b, "v", 1) == 1 ? 3 : 4);
  char byte = 0;
  EXPECT_EQ(recv(pair.a, &byte, 1, MSG_DONTWAIT), 1);
  EXPECT_EXIT(pid, 3);
  static int round;  // the child must not change what the parent has in registers
  for (round = 0; round < 20; round++) {
    pid = vfork();
    if (pid == 0) {
      close(pair.b);  // its own copy
      _exit(0);
    }
    EXPECT_EXIT(pid, 0);
  }
  EXPECT(pair_works(pair));
}

TEST(rights_of_the_process) {
  pid_t pid = child([] {
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = loopback(htons(79));
    EXPECT_ERR(bind(fd, generic(&address), sizeof address), EACCES);
    EXPECT_ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
    EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    EXPECT_ERR(set_option(fd, SOL_SOCKET, SO_MARK, 1), EPERM);
    EXPECT_ERR(open("/proc/sys/net/ipv4/ip_default_ttl", O_WRONLY), EACCES);
    EXPECT(pair_works(tcp_pair()));
  });
  EXPECT_EXIT(pid, 0);
}

TEST(capabilities_given_up) {
  pid_t pid = child([] {
    Capabilities raw{CAP_NET_RAW};
    OK(socket(AF_PACKET, SOCK_RAW, 0));
    raw.set(Capabilities::kEffective, false);
    EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    raw.set(Capabilities::kEffective, true);  // still permitted
    OK(socket(AF_PACKET, SOCK_RAW, 0));
    raw.set(Capabilities::kBoth, false);
    EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(set_option(fd, SOL_SOCKET, SO_MARK, 1));  // only the one was given up
    EXPECT(pair_works(tcp_pair()));
  });
  EXPECT_EXIT(pid, 0);
}

TEST(capabilities_kept_by_another_user) {
  pid_t pid = child([] {
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    Capabilities{CAP_NET_RAW}.set(Capabilities::kEffective, true);
    OK(socket(AF_PACKET, SOCK_RAW, 0));
    OK(set_option(fd, SOL_SOCKET, SO_MARK, 1));
    EXPECT_ERR(open("/proc/sys/net/ipv4/ip_default_ttl", O_WRONLY), EACCES);
  });
  EXPECT_EXIT(pid, 0);
}

TEST(capset_is_refused) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  EXPECT_ERR(syscall(SYS_capset, &header, bad_pointers()[1]), EFAULT);
  header.version = 1;
  __user_cap_data_struct data[2]{};
  EXPECT_ERR(syscall(SYS_capset, &header, data), EINVAL);
  header = {_LINUX_CAPABILITY_VERSION_3, 1};
  EXPECT_ERR(syscall(SYS_capset, &header, data), EPERM);  // somebody else's
}

// Once a child has been waited for, nothing that it held is still held.
TEST(waited_for_and_gone) {
  OK(socket(AF_INET, SOCK_DGRAM, 0));
  for (int round = 0; round < 10; round++) {
    int ready[2];
    OK(pipe(ready));
    pid_t pid = child([&] {
      sockaddr_in address = name_of(listener());
      EXPECT_EQ(write(ready[1], &address, sizeof address), ssize_t{sizeof address});
      pause();
    });
    sockaddr_in address;
    EXPECT_EQ(read(ready[0], &address, sizeof address), ssize_t{sizeof address});
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_ERR(bind(fd, generic(&address), sizeof address), EADDRINUSE);
    kill(pid, SIGKILL);
    if (round % 2 == 0) {
      int status = wait_for(pid);
      EXPECT(WIFSIGNALED(status));
    } else {
      siginfo_t info{};
      OK(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED));
      EXPECT_EQ(info.si_pid, pid);
      EXPECT_EQ(info.si_code, CLD_KILLED);
      EXPECT_EQ(info.si_status, SIGKILL);
    }
    EXPECT_EQ(bind(fd, generic(&address), sizeof address), 0);
    close(fd);
    close(ready[0]);
    close(ready[1]);
  }
}

TEST(waits_that_do_not_end_a_child) {
  OK(socket(AF_INET, SOCK_DGRAM, 0));
  pid_t pid = child([] { pause(); });
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
  kill(pid, SIGSTOP);
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT(WIFSTOPPED(status));
  kill(pid, SIGCONT);
  EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
  EXPECT(WIFCONTINUED(status));
  EXPECT_EQ(syscall(SYS_wait4, pid, bad_pointers()[1], WNOHANG, nullptr), 0);
  kill(pid, SIGKILL);
  siginfo_t info{};
  OK(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT));
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_ERR(syscall(SYS_wait4, pid, bad_pointers()[1], 0, nullptr), EFAULT);  // and it is reaped
  EXPECT_ERR(waitpid(pid, &status, 0), ECHILD);
}

TEST(end_by_parent_death) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    child([&] {
      OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
      EXPECT_EQ(write(pair.b, "r", 1), 1);
      close(pair.a);
      char byte;
      read(pair.b, &byte, 1);
    });
    sleep_ms(50);
  });
  close(pair.b);
  char byte;
  EXPECT_EQ(read(pair.a, &byte, 1), 1);
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
}

// A signal that comes while vfork returns finds its handler, and leaves the mask as it was.
TEST(signals_at_the_end_of_vfork) {
  static volatile int seen = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { seen = seen + 1; };
  action.sa_flags = SA_RESTART;
  EXPECT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
  for (int i = 0; i < 20 && check::failures == 0; i++) {
    int before = seen;
    itimerval soon = {{0, 0}, {0, 1000}};  // the parent waits for its child by then
    EXPECT_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);
    pid_t pid = vfork();
    if (pid == 0) {
      usleep(5000);
      execl("/bin/sh", "sh", "-c", "exit 3", nullptr);
      _exit(1);
    }
    EXPECT_EQ(seen, before + 1);
    EXPECT_EXIT(pid, 3);
    sigset_t mask;
    EXPECT_EQ(sigprocmask(SIG_SETMASK, nullptr, &mask), 0);
    for (int signo : {SIGALRM, SIGUSR1, SIGTERM, SIGRTMAX}) EXPECT(!sigismember(&mask, signo));
  }
  signal(SIGALRM, SIG_DFL);
}
