// SPDX-License-Identifier: Apache-2.0
//
// Programs under a seccomp filter of their own: the filter applies to their calls, and their
// sockets work.

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <ucontext.h>

#include <thread>

#include "children.h"
#include "filters.h"
#include "loopback.h"
#include "memory.h"

TEST(errors_of_the_filter) {
  for (bool by_prctl : {true, false}) {
    pid_t pid = child([&] {
      Pair pair = tcp_pair();
      OK(install({{SYS_getppid, errno_action(EDOM)}, {SYS_uname, errno_action(ENOSYS)}},
                 SECCOMP_RET_ALLOW, by_prctl));
      EXPECT_ERR(syscall(SYS_getppid), EDOM);
      utsname name;
      EXPECT_ERR(uname(&name), ENOSYS);
      EXPECT(pair_works(pair));
      EXPECT(pair_works(udp_pair()));
      // Another one on top: the stricter of both counts.
      OK(install({{SYS_getpgrp, errno_action(EXDEV)}}, SECCOMP_RET_ALLOW, by_prctl));
      EXPECT_ERR(syscall(SYS_getppid), EDOM);
      EXPECT_ERR(syscall(SYS_getpgrp), EXDEV);
      EXPECT(pair_works(pair));
    });
    EXPECT_EXIT(pid, 0);
  }
}

// Only what a server's inner process needs; everything else kills it.
TEST(short_list) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    bool works = pair_works(pair);
    OK(install({{SYS_read, SECCOMP_RET_ALLOW},
                {SYS_write, SECCOMP_RET_ALLOW},
                {SYS_exit_group, SECCOMP_RET_ALLOW},
                {SYS_rt_sigreturn, SECCOMP_RET_ALLOW}},
               SECCOMP_RET_KILL_PROCESS, false));
    char bytes[100];
    for (int i = 0; i < 200 && works; i++) {
      works = write(pair.a, "some bytes", 10) == 10 && read(pair.b, bytes, sizeof bytes) == 10;
    }
    _exit(works ? 42 : 1);
  });
  EXPECT_EXIT(pid, 42);
}

// What the hook does beside a call must not end the program.
TEST(short_list_and_other_calls) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    int ends[2], files = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    bool works = pair_works(pair) && pipe(ends) == 0 && files >= 0;
    OK(install({{SYS_read, SECCOMP_RET_ALLOW},
                {SYS_write, SECCOMP_RET_ALLOW},
                {SYS_splice, SECCOMP_RET_ALLOW},
                {SYS_getdents64, SECCOMP_RET_ALLOW},
                {SYS_exit_group, SECCOMP_RET_ALLOW}},
               SECCOMP_RET_KILL_PROCESS, true));
    char bytes[4096];
    works =
        works && syscall(SYS_getdents64, files, bytes, sizeof bytes) > 0 &&
        write(pair.a, "four", 4) == 4 && splice(pair.b, nullptr, ends[1], nullptr, 100, 0) == 4 &&
        write(pair.a, "more", 4) == 4 && splice(pair.b, nullptr, ends[1], nullptr, 100, 0) == 4 &&
        splice(ends[0], nullptr, pair.a, nullptr, 100, 0) == 8 && read(pair.b, bytes, 8) == 8 &&
        memcmp(bytes, "fourmore", 8) == 0;
    _exit(works ? 42 : 1);
  });
  EXPECT_EXIT(pid, 42);
}

// A long wait, so that both sides sleep meanwhile.
TEST(short_list_and_waiting) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    char byte = 0;
    bool works = pair_works(tcp_pair());
    OK(install({{SYS_read, SECCOMP_RET_ALLOW},
                {SYS_write, SECCOMP_RET_ALLOW},
                {SYS_exit_group, SECCOMP_RET_ALLOW}},
               SECCOMP_RET_KILL_PROCESS, true));
    works = works && read(pair.b, &byte, 1) == 1 && write(pair.b, &byte, 1) == 1;
    _exit(works ? 42 : 1);
  });
  sleep_ms(300);
  char byte = 'w';
  EXPECT_EQ(write(pair.a, &byte, 1), 1);
  EXPECT_EQ(read(pair.a, &byte, 1), 1);
  EXPECT_EXIT(pid, 42);
}

namespace {

bool opens_and_looks() {
  struct stat info;
  int fd = open("/proc/self/status", O_RDONLY);
  return fd >= 0 && close(fd) == 0 && stat("/nothing", &info) == -1 && access("/", F_OK) == 0;
}

}  // namespace

HELPER(look) {
  (void)argc, (void)argv;
  return opens_and_looks() ? 42 : 1;
}

// Calls that the program does not make are not made in its name, nor in that of programs that it
// executes.
TEST(newer_calls_are_forbidden) {
  for (bool executes : {false, true}) {
    pid_t pid = child([&] {
      OK(install({{SYS_openat2, SECCOMP_RET_KILL_PROCESS}}, SECCOMP_RET_ALLOW, false));
      if (executes) execl("/proc/self/exe", "p", "@look", nullptr);
      _exit(opens_and_looks() ? 42 : 1);
    });
    EXPECT_EXIT(pid, 42);
  }
}

// Trapped at first, patched when it is hot: the program continues behind the call either way.
TEST(exit_is_refused) {
  pid_t pid = child([] {
    OK(install({{SYS_exit, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false));
    for (int i = 0; i < 40; i++) EXPECT_ERR(syscall(SYS_exit, 3), EDOM);
    EXPECT(pair_works(tcp_pair()));
    _exit(check::failures ? 1 : 42);
  });
  EXPECT_EXIT(pid, 42);
}

TEST(killed_by_the_filter) {
  pid_t pid = child([] {
    OK(install({{SYS_getppid, SECCOMP_RET_KILL_PROCESS}}, SECCOMP_RET_ALLOW, false));
    syscall(SYS_getppid);
    _exit(1);
  });
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

TEST(all_threads_at_once) {
  pid_t pid = child([] {
    std::atomic<bool> installed{false};
    Pair pair = tcp_pair();
    std::thread other([&] {
      while (!installed) sleep_ms(1);
      EXPECT_ERR(syscall(SYS_getppid), EDOM);
      EXPECT(pair_works(pair));
    });
    OK(install({{SYS_getppid, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false,
               SECCOMP_FILTER_FLAG_TSYNC));
    installed = true;
    other.join();
  });
  EXPECT_EXIT(pid, 0);
}

// Including those that have left the shared descriptor table.
TEST(all_threads_with_tables_of_their_own) {
  pid_t pid = child([] {
    std::atomic<int> step{0};
    Pair pair = udp_pair();
    std::thread other([&] {
      OK(unshare(CLONE_FILES));
      EXPECT(pair_works(pair));
      step = 1;
      while (step != 2) sleep_ms(1);
      EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
    });
    while (step != 1) sleep_ms(1);
    OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false,
               SECCOMP_FILTER_FLAG_TSYNC));
    step = 2;
    other.join();
  });
  EXPECT_EXIT(pid, 0);
}

// The filter also judges the calls that the device executes.
TEST(judges_sockets) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    OK(install({{SYS_sendto, errno_action(EDOM)}, {SYS_close, errno_action(EXDEV)}},
               SECCOMP_RET_ALLOW, false));
    EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
    EXPECT_ERR(close(pair.a), EXDEV);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(readable(pair.b));
  });
  EXPECT_EXIT(pid, 0);
}

// By the arguments of a call: only one address family, and no flag of send.
TEST(judges_arguments) {
  constexpr uint32_t kFirst = offsetof(seccomp_data, args[0]),
                     kFourth = offsetof(seccomp_data, args[3]);
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    OK(install_code({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
                     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFirst),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 4, 0),
                     BPF_STMT(BPF_RET | BPF_K, errno_action(EACCES)),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 0, 2),
                     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFourth),
                     BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MSG_OOB, 1, 0),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                     BPF_STMT(BPF_RET | BPF_K, errno_action(EDOM))}));
    EXPECT_ERR(socket(AF_INET, SOCK_STREAM, 0), EACCES);
    OK(socket(AF_INET6, SOCK_STREAM, 0));
    EXPECT_ERR(send(pair.a, "x", 1, MSG_OOB), EDOM);
    EXPECT(pair_works(pair));
  });
  EXPECT_EXIT(pid, 0);
}

// Logged calls, and a filter that asks only for the length of its data.
TEST(logged_calls_go_on) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    OK(install({{SYS_getppid, errno_action(EDOM)}}, SECCOMP_RET_ALLOW));
    OK(install({}, SECCOMP_RET_LOG));
    OK(install_code({BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 64, 1, 0),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}));
    EXPECT_ERR(syscall(SYS_getppid), EDOM);
    EXPECT(pair_works(pair));
  });
  EXPECT_EXIT(pid, 0);
}

namespace {

struct {
  int number, error;
  unsigned arch;
  bool where_it_was_made;
} trapped;

void on_trap(int, siginfo_t* info, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  trapped = {info->si_syscall, info->si_errno, info->si_arch,
             reinterpret_cast<greg_t>(info->si_call_addr) == registers[REG_RIP]};
  registers[REG_RAX] = -ENOTUNIQ;
}

void handle_traps() {
  struct sigaction action = {};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  OK(sigaction(SIGSYS, &action, nullptr));
}

constexpr auto kTraps = SECCOMP_RET_TRAP | 7u;

}  // namespace

TEST(trapped) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    handle_traps();
    OK(install({{SYS_sendto, kTraps}, {SYS_getppid, kTraps}}, SECCOMP_RET_ALLOW));
    for (int i = 0; i < 3; i++) {
      trapped = {};
      EXPECT_ERR(send(pair.a, "x", 1, 0), ENOTUNIQ);
      EXPECT_EQ(trapped.number, SYS_sendto);
      EXPECT_EQ(trapped.error, 7);
      EXPECT_EQ(trapped.arch, AUDIT_ARCH_X86_64);
      EXPECT(trapped.where_it_was_made);
      EXPECT_ERR(syscall(SYS_getppid), ENOTUNIQ);
      EXPECT_EQ(trapped.number, SYS_getppid);
      EXPECT(trapped.where_it_was_made);
    }
    EXPECT_EQ(write(pair.a, "x", 1), 1);
  });
  EXPECT_EXIT(pid, 0);
}

// Nobody handles the signal, or it is blocked or ignored: it kills all the same.
TEST(trapped_and_killed) {
  for (int how = 0; how < 3; how++) {
    pid_t pid = child([&] {
      Pair pair = udp_pair();
      if (how == 1) {
        handle_traps();
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSYS);
        OK(sigprocmask(SIG_BLOCK, &set, nullptr));
      }
      if (how == 2) on_signal(SIGSYS, SIG_IGN);
      OK(install({{SYS_sendto, kTraps}}, SECCOMP_RET_ALLOW));
      send(pair.a, "x", 1, 0);
    });
    int status = wait_for(pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
  }
}

TEST(killed_for_a_socket) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    OK(install({{SYS_sendto, SECCOMP_RET_KILL_PROCESS}}, SECCOMP_RET_ALLOW));
    send(pair.a, "x", 1, 0);
  });
  int status = wait_for(pid);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

// A supervisor answers in place of the kernel.
TEST(answered_by_a_listener) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    std::atomic<int> listener_fd{-1};
    std::thread supervisor([&] {  // to which the filter does not apply
      while (listener_fd < 0) sleep_ms(1);
      seccomp_notif call = {};
      OK(ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &call));
      EXPECT_EQ(call.data.nr, SYS_sendto);
      EXPECT_EQ(call.data.args[0], static_cast<uint64_t>(pair.a));
      seccomp_notif_resp answer = {call.id, 5, 0, 0};
      OK(ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer));
    });
    long fd = install({{SYS_sendto, SECCOMP_RET_USER_NOTIF}}, SECCOMP_RET_ALLOW, false,
                      SECCOMP_FILTER_FLAG_NEW_LISTENER);
    EXPECT(fd >= 0);
    listener_fd = static_cast<int>(fd);
    EXPECT_EQ(send(pair.a, "x", 1, 0), 5);
    supervisor.join();
  });
  EXPECT_EXIT(pid, 0);
}

TEST(of_a_thread_and_its_children) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    std::thread other([&] {
      OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW));
      EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
      std::thread inner([&] { EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM); });
      inner.join();
      pid_t forked = child([&] { EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM); });
      EXPECT_EXIT(forked, 0);
      pid_t sharing = vfork();
      if (sharing == 0) _exit(send(pair.a, "x", 1, 0) == -1 && errno == EDOM ? 42 : 1);
      EXPECT_EXIT(sharing, 42);
      OK(install({{SYS_recvfrom, errno_action(EXDEV)}}, SECCOMP_RET_ALLOW));
    });
    other.join();
    EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
    char byte;
    EXPECT_EQ(recv(pair.b, &byte, 1, 0), 1);
    // A filter that a vfork child installs applies to the child alone.
    pid_t sharing = vfork();
    if (sharing == 0) {
      install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW);
      _exit(send(pair.a, "x", 1, 0) == -1 && errno == EDOM ? 42 : 1);
    }
    EXPECT_EXIT(sharing, 42);
    EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
  });
  EXPECT_EXIT(pid, 0);
}

TEST(sockets_of_all_threads_at_once) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    std::atomic<int> step{0};
    std::thread other([&] {
      EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
      step = 1;
      while (step != 2) sleep_ms(1);
      EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
      OK(install({{SYS_getpgrp, errno_action(EXDEV)}}, SECCOMP_RET_ALLOW));
      step = 3;
      while (step != 4) sleep_ms(1);
      char byte;
      EXPECT_EQ(recv(pair.b, &byte, 1, 0), 1);
    });
    while (step != 1) sleep_ms(1);
    OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false,
               SECCOMP_FILTER_FLAG_TSYNC));
    step = 2;
    while (step != 3) sleep_ms(1);
    // The other thread has a filter of its own now: the call names that thread, and installs
    // nothing.
    EXPECT(install({{SYS_recvfrom, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false,
                   SECCOMP_FILTER_FLAG_TSYNC) > 0);
    char byte;
    EXPECT_ERR(recv(pair.a, &byte, 1, MSG_DONTWAIT), EAGAIN);
    step = 4;
    other.join();
  });
  EXPECT_EXIT(pid, 0);
}

// Only read, write, exit and sigreturn; anything else ends it by SIGKILL.
TEST(strict_mode) {
  for (bool by_prctl : {true, false}) {
    for (bool other_call : {false, true}) {
      pid_t pid = child([&] {
        Pair pair = tcp_pair();
        OK(by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)
                    : syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, nullptr));
        char bytes[10];
        bool works = true;
        for (int i = 0; i < 20; i++)
          works = works && write(pair.a, "some bytes", 10) == 10 && read(pair.b, bytes, 10) == 10;
        if (other_call) syscall(SYS_getppid);
        syscall(SYS_exit, works ? 42 : 1);
      });
      int status = wait_for(pid);
      EXPECT_EQ(status, other_call ? SIGKILL : 42 << 8);
    }
  }
}

TEST(strict_mode_and_sockets) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    send(pair.a, "x", 1, 0);
    syscall(SYS_exit, 1);
  });
  EXPECT_EQ(wait_for(pid), SIGKILL);
}

TEST(strict_mode_of_a_thread) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    std::thread other([&] {
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
      syscall(SYS_getppid);  // ends this thread alone
      _exit(1);
    });
    other.join();
    EXPECT(pair_works(pair));
  });
  EXPECT_EXIT(pid, 0);
}

TEST(strict_mode_not_over_filters) {
  pid_t pid = child([] {
    EXPECT_ERR(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, nullptr), EINVAL);
    OK(install({}, SECCOMP_RET_ALLOW));
    EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
    EXPECT_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), SECCOMP_MODE_FILTER);
  });
  EXPECT_EXIT(pid, 0);
}

TEST(bad_filters) {
  pid_t pid = child([] {
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    sock_fprog program = {};
    EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), EINVAL);
    program.len = 3;
    program.filter = static_cast<sock_filter*>(bad_pointers()[0]);
    EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), EFAULT);
    EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, bad_pointers()[0]), EFAULT);
    sock_filter wrong[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 200, 200)};
    program = {1, wrong};
    EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), EINVAL);
    EXPECT_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
  });
  EXPECT_EXIT(pid, 0);
}
