// SPDX-License-Identifier: Apache-2.0
//
// Programs that are executed under a seccomp filter: their sockets work, inherited and new, and the
// filter judges them. The program executes itself, as a HELPER.

#include <spawn.h>

#include <string>

#include "children.h"
#include "filters.h"
#include "loopback.h"

extern char** environ;

namespace {

constexpr const char* kSelf = "/proc/self/exe";

// What glibc needs at the start and the end of a program, and what the helper below needs.
const std::vector<int> kNeeded = {
    SYS_execve,
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_openat,
    SYS_close,
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_fstat,
    SYS_newfstatat,
    SYS_lseek,
    SYS_access,
    SYS_readlink,
    SYS_exit,
    SYS_exit_group,
    SYS_arch_prctl,
    SYS_futex,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_prlimit64,
    SYS_set_robust_list,
    SYS_getrandom,
    SYS_rt_sigprocmask,
    SYS_ioctl,
    SYS_rt_sigaction,
    SYS_rt_sigreturn,
    SYS_getpid,
    SYS_socket,
    SYS_bind,
    SYS_listen,
    SYS_connect,
    SYS_getsockname,
    SYS_accept,
    SYS_accept4,
    SYS_recvfrom,
    SYS_poll,
    SYS_fcntl,
    SYS_setsockopt,
    SYS_getsockopt,
};

long install_needed(uint32_t otherwise, const std::vector<Rule>& first = {}) {
  std::vector<Rule> rules = first;
  for (int number : kNeeded) rules.push_back({number, SECCOMP_RET_ALLOW});
  return install(rules, otherwise);
}

}  // namespace

// ARGV[2]: a connected socket; [3]: how often to execute once more; [4]: the error that sendto must
// give, which only the filter can cause.
HELPER(judged) {
  const int fd = atoi(argv[2]), left = atoi(argv[3]), error = atoi(argv[4]);
  EXPECT_ERR(send(fd, "x", 1, 0), error);
  EXPECT_EQ(write(fd, "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  Pair pair = tcp_pair();
  EXPECT_EQ(write(pair.a, "abc", 3), 3);
  EXPECT(readable(pair.b));
  EXPECT_ERR(send(pair.a, "x", 1, 0), error);
  if (check::failures) _exit(1);
  if (left == 0) _exit(42);
  std::string count = std::to_string(left - 1);
  execl(kSelf, "exec", "@judged", argv[2], count.c_str(), argv[4], nullptr);
  return 2;
}

namespace {

// Runs `set_up` and then the helper in a child; this process has the other end of its connection.
template <class SetUp>
int execute(int times, int error, SetUp set_up) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    set_up();
    std::string fd = std::to_string(pair.a), count = std::to_string(times),
                code = std::to_string(error);
    char* empty[] = {nullptr};
    execle(kSelf, "exec", "@judged", fd.c_str(), count.c_str(), code.c_str(), nullptr, empty);
    _exit(3);
  });
  close(pair.a);
  for (int i = 0; i <= times; i++) {
    char byte = 0;
    EXPECT_EQ(read(pair.b, &byte, 1), 1);
    EXPECT_EQ(write(pair.b, &byte, 1), 1);
    if (check::failures) break;
  }
  int status = wait_for(pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

}  // namespace

TEST(errors_after_exec) {
  EXPECT_EQ(
      execute(0, EDOM, [] { OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW)); }),
      42);
}

TEST(short_list_after_exec) {
  EXPECT_EQ(
      execute(
          0, EDOM,
          [] { OK(install_needed(SECCOMP_RET_KILL_PROCESS, {{SYS_sendto, errno_action(EDOM)}})); }),
      42);
}

TEST(short_list_of_errors_after_exec) {
  EXPECT_EQ(execute(0, EPERM, [] { OK(install_needed(errno_action(EPERM))); }), 42);
}

// Each executed program executes the next; there are several filters.
TEST(again_and_again) {
  EXPECT_EQ(
      execute(3, EDOM,
              [] {
                OK(install({{SYS_uname, errno_action(EXDEV)}}, SECCOMP_RET_ALLOW));
                OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW));
                OK(install_needed(SECCOMP_RET_KILL_PROCESS, {{SYS_sendto, SECCOMP_RET_ALLOW}}));
              }),
      42);
}

// The executed program makes the first socket of all; threads and children use it too.
HELPER(first_socket) {
  Pair pair = tcp_pair();
  EXPECT(pair_works(pair));
  std::thread other([&] {
    EXPECT(pair_works(pair));
    EXPECT(pair_works(tcp_pair()));
  });
  other.join();
  pid_t forked = child([&] { EXPECT(pair_works(pair)); });
  EXPECT_EXIT(forked, 0);
  return check::failures ? 1 : 42;
}

TEST(no_socket_before_exec) {
  pid_t pid = child([] {
    OK(install_needed(SECCOMP_RET_KILL_PROCESS, {{SYS_sendto, SECCOMP_RET_ALLOW},
                                                 {SYS_clone, SECCOMP_RET_ALLOW},
                                                 {SYS_clone3, SECCOMP_RET_ALLOW},
                                                 {SYS_wait4, SECCOMP_RET_ALLOW},
                                                 {SYS_gettid, SECCOMP_RET_ALLOW},
                                                 {SYS_madvise, SECCOMP_RET_ALLOW}}));
    execl(kSelf, "exec", "@first_socket", nullptr);
    _exit(3);
  });
  EXPECT_EXIT(pid, 42);
}

// As filters for memory protection do (systemd's MemoryDenyWriteExecute): nothing becomes
// executable.
TEST(no_memory_made_executable) {
  constexpr uint32_t kThird = offsetof(seccomp_data, args[2]);
  EXPECT_EQ(execute(1, EDOM,
                    [&] {
                      OK(install_code({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 2),
                                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kThird),
                                       BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 3, 2),
                                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 0, 1),
                                       BPF_STMT(BPF_RET | BPF_K, errno_action(EDOM)),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)}));
                    }),
            42);
}

// A thread's filter stays with it when it executes a program; that of another thread does not.
TEST(executed_by_a_thread) {
  EXPECT_EQ(execute(0, EDOM,
                    [] {
                      std::thread other([] {
                        OK(install({{SYS_write, errno_action(EXDEV)}}, SECCOMP_RET_ALLOW));
                      });
                      other.join();
                      OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW));
                    }),
            42);
}

TEST(spawned) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    OK(install({{SYS_sendto, errno_action(EDOM)}}, SECCOMP_RET_ALLOW));
    std::string fd = std::to_string(pair.a), code = std::to_string(EDOM);
    std::string words[] = {"exec", "@judged", fd, "1", code};
    char* argv[] = {words[0].data(), words[1].data(), words[2].data(),
                    words[3].data(), words[4].data(), nullptr};
    pid_t spawned = 0;
    EXPECT_EQ(posix_spawn(&spawned, "/proc/self/exe", nullptr, nullptr, argv, environ), 0);
    EXPECT_EXIT(spawned, 42);
    EXPECT_EQ(posix_spawn(&spawned, "/nonexistent", nullptr, nullptr, argv, environ), ENOENT);
    EXPECT_ERR(send(pair.a, "x", 1, 0), EDOM);
  });
  for (int i = 0; i < 2; i++) {
    char byte = 0;
    EXPECT_EQ(read(pair.b, &byte, 1), 1);
    EXPECT_EQ(write(pair.b, &byte, 1), 1);
  }
  EXPECT_EXIT(pid, 0);
}

// An execution that the filter refuses, or that fails, changes nothing and leaves nothing open.
TEST(failed_exec) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    OK(install({{SYS_execveat, errno_action(EDOM)}, {SYS_sendto, errno_action(EXDEV)}},
               SECCOMP_RET_ALLOW));
    char* empty[] = {nullptr};
    int next = OK(dup(0));
    close(next);
    EXPECT_ERR(syscall(SYS_execveat, AT_FDCWD, "/bin/true", empty, empty, 0), EDOM);
    EXPECT_ERR(execve("/nonexistent", empty, empty), ENOENT);
    EXPECT_EQ(dup(0), next);
    EXPECT_ERR(send(pair.a, "x", 1, 0), EXDEV);
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(readable(pair.b));
  });
  EXPECT_EXIT(pid, 0);
}
