// SPDX-License-Identifier: Apache-2.0
//
// Programs under a seccomp filter of their own: it holds for their calls, and their sockets work.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <thread>
#include <vector>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

constexpr uint32_t errno_action(int code) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(code);
}

struct Rule {
  int number;
  uint32_t action;
};

// A filter that judges by number alone, installed by prctl or by seccomp.
long install(const std::vector<Rule>& rules, uint32_t otherwise, bool by_prctl,
             unsigned flags = 0) {
  std::vector<sock_filter> code{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
  for (const Rule& rule : rules) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(rule.number), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, rule.action));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
  sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  return by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
                  : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

}  // namespace

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

// Only what a server's inner process needs; all else kills it.
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

// A wait that lasts, so that both sides sleep meanwhile.
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

// Also of the calls that the device executes.
TEST(judges_sockets) {
  pid_t pid = child([] {
    Pair pair = udp_pair();
    OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW, false));
    EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
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
