// SPDX-License-Identifier: Apache-2.0
//
// Sockets and the execution of programs: what survives execve, with any environment; posix_spawn
// and its actions; and that a failed execution changes nothing. The program executes itself, as a
// HELPER.

#include <linux/capability.h>
#include <sched.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <string>
#include <string_view>

#include "children.h"
#include "loopback.h"
#include "memory.h"

extern char** environ;

namespace {

constexpr const char* kSelf = "/proc/self/exe";

// argv for `@helper fd…`; lives as long as the process.
char** arguments(const char* helper, std::initializer_list<int> fds = {}) {
  auto* words = new std::vector<std::string>{"exec", std::string("@") + helper};
  for (int fd : fds) words->push_back(std::to_string(fd));
  auto* pointers = new std::vector<char*>;
  for (auto& word : *words) pointers->push_back(word.data());
  pointers->push_back(nullptr);
  return pointers->data();
}

char* nothing[] = {nullptr};

}  // namespace

// Adds one to a byte that comes through the descriptor, and uses a socket of its own.
HELPER(echo) {
  int fd = atoi(argv[2]);
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  byte++;
  EXPECT_EQ(write(fd, &byte, 1), 1);
  EXPECT(pair_works(tcp_pair()));
  return check::failures ? 1 : 0;
}

// Echo on standard input and output, as under inetd.
HELPER(inetd) {
  char byte = 0;
  if (read(0, &byte, 1) != 1) return 1;
  byte++;
  return write(1, &byte, 1) == 1 ? 0 : 2;
}

// None of these may be open.
HELPER(closed) {
  for (int i = 2; i < argc; i++) {
    EXPECT_ERR(fcntl(atoi(argv[i]), F_GETFD), EBADF);
    char byte;
    EXPECT_ERR(recv(atoi(argv[i]), &byte, 1, MSG_DONTWAIT), EBADF);
  }
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, 0), atoi(argv[2]));
  return check::failures ? 1 : 0;
}

// Executes the echo helper again and again, with what is left of the count.
HELPER(chain) {
  int left = atoi(argv[3]);
  if (left == 0) return helper_echo(argc, argv);
  if (!pair_works(tcp_pair())) return 1;
  std::string count = std::to_string(left - 1);
  execl(kSelf, "exec", "@chain", argv[2], count.c_str(), nullptr);
  return 2;
}

// Capabilities that were kept across a change of user end at execve.
TEST(capabilities_end) {
  pid_t pid = child([] {
    OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    OK(syscall(SYS_capget, &header, data));
    data[0].effective = data[0].permitted;
    OK(syscall(SYS_capset, &header, data));
    execl("/bin/sh", "sh", "-c", ": >> /proc/sys/net/ipv4/ip_default_ttl", nullptr);
    _exit(127);
  });
  EXPECT_EXIT(pid, 2);
}

TEST(executed_as_another_user) {
  pid_t pid = child([] {
    OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    execl("/bin/cat", "cat", "/proc/net/sockstat6", nullptr);
    _exit(127);
  });
  EXPECT_EXIT(pid, 0);
}

// Neither this program nor its threads may mark a socket.
HELPER(unmarked) {
  const int fd = atoi(argv[2]);
  const auto refused = [fd] { EXPECT_ERR(set_option(fd, SOL_SOCKET, SO_MARK, 1), EPERM); };
  std::thread one(refused), two(refused);
  refused();
  one.join();
  two.join();
  return check::failures ? 1 : 0;
}

TEST(executed_as_another_user_with_threads) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  pid_t pid = child([&] {
    const auto allowed = [fd] { OK(set_option(fd, SOL_SOCKET, SO_MARK, 1)); };
    std::thread one(allowed), two(allowed);
    one.join();
    two.join();
    OK(setresuid(65534, 65534, 65534));
    execv(kSelf, arguments("unmarked", {fd}));
  });
  EXPECT_EXIT(pid, 0);
}

TEST(sockets_survive) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] { execv(kSelf, arguments("echo", {pair.b})); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  EXPECT(pair_works(pair));
}

TEST(empty_environment) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] { execve(kSelf, arguments("echo", {pair.b}), nothing); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  pid = child([&] { execve(kSelf, arguments("echo", {pair.b}), nullptr); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  char preload[] = "LD_PRELOAD=", other[] = "OTHER=1";
  char* odd[] = {other, preload, nullptr};
  pid = child([&] { execve(kSelf, arguments("echo", {pair.b}), odd); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

namespace {

std::string preload_of(int libraries) {
  std::string text = "LD_PRELOAD=libm.so.6";
  for (int i = 1; i < libraries; i++) text += ":libm.so.6";
  return text;
}

std::vector<std::string> long_preloads() {
  return {"FIRST=1",         preload_of(500), preload_of(1), "BETWEEN=",
          preload_of(12000), preload_of(400), "LAST=1"};
}

}  // namespace

HELPER(long_preloads) {
  const auto want = long_preloads();
  for (size_t i = 0; i < want.size(); i++) EXPECT(environ[i] && environ[i] == want[i]);
  EXPECT(!environ[want.size()]);
  EXPECT(pair_works({atoi(argv[2]), atoi(argv[3])}));
  return check::failures ? 1 : 0;
}

TEST(long_preloads) {
  Pair pair = tcp_pair();
  auto list = long_preloads();
  std::vector<char*> words;
  for (auto& word : list) words.push_back(word.data());
  words.push_back(nullptr);
  pid_t pid =
      child([&] { execve(kSelf, arguments("long_preloads", {pair.a, pair.b}), words.data()); });
  EXPECT_EXIT(pid, 0);
  std::string too_long = preload_of(14000);
  words[1] = too_long.data();
  EXPECT_ERR(execve(kSelf, arguments("long_preloads", {pair.a, pair.b}), words.data()), E2BIG);
  EXPECT(pair_works(pair));
}

// What one program is told to preload does not reach the next ones.
TEST(preloads_of_a_foreign_mino) {
  Pair pair = tcp_pair();
  char foreign[] = "LD_PRELOAD=/nowhere/libminoc.so";
  char* odd[] = {foreign, nullptr};
  for (char** env : {odd, nothing, environ}) {
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, kSelf, nullptr, nullptr, arguments("echo", {pair.b}), env), 0);
    EXPECT(echoes(pair.a));
    EXPECT_EXIT(pid, 0);
  }
}

TEST(a_chain_of_programs) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] { execve(kSelf, arguments("chain", {pair.b, 10}), nothing); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(close_on_exec) {
  closefrom(3);
  Pair pair = tcp_pair(SOCK_CLOEXEC);
  OK(fcntl(pair.a, F_SETFD, FD_CLOEXEC));
  int later = OK(socket(AF_INET, SOCK_DGRAM, 0));
  OK(ioctl(later, FIOCLEX));
  int first = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  pid_t pid = child([&] { execv(kSelf, arguments("closed", {later, pair.a, pair.b, first})); });
  EXPECT_EXIT(pid, 0);
  EXPECT(pair_works(pair));
  // The program no longer has it, and the peer hears of that at once, not only when the program
  // ends.
  int from = listener();
  int kept = connected_to(from);
  OK(fcntl(kept, F_SETFD, FD_CLOEXEC));
  int server = OK(accept(from, nullptr, nullptr));
  Pair control = tcp_pair();
  pid = child([&] { execv(kSelf, arguments("echo", {control.b})); });
  close(kept);
  EXPECT(readable(server));
  char byte;
  EXPECT_EQ(read(server, &byte, 1), 0);
  EXPECT(echoes(control.a));
  EXPECT_EXIT(pid, 0);
}

TEST(failed_exec_changes_nothing) {
  Pair pair = tcp_pair(SOCK_CLOEXEC);
  EXPECT_ERR(execl("/no/such/program", "x", nullptr), ENOENT);
  EXPECT_ERR(execl("/proc/self/exe/x", "x", nullptr), ENOTDIR);
  EXPECT_ERR(execl("/", "x", nullptr), EACCES);
  EXPECT_ERR(execl("/proc/self/maps", "x", nullptr), EACCES);
  const std::string script = std::string(check::scratch()) + "/script";
  const char* name = script.c_str();
  int file = OK(open(name, O_CREAT | O_WRONLY | O_EXCL, 0600));
  EXPECT_EQ(write(file, "no program\n", 11), 11);
  OK(fchmod(file, 0700));
  close(file);
  EXPECT_ERR(execl(name, "x", nullptr), ENOEXEC);
  for (void* bad : bad_pointers()) {
    EXPECT_ERR(syscall(SYS_execve, bad, nothing, nothing), EFAULT);
    EXPECT_ERR(syscall(SYS_execve, kSelf, bad, nothing), EFAULT);
    EXPECT_ERR(syscall(SYS_execve, kSelf, nothing, bad), EFAULT);
  }
  EXPECT(pair_works(pair));
  EXPECT_EQ(fcntl(pair.b, F_GETFD), FD_CLOEXEC);
  EXPECT(pair_works(tcp_pair()));
  pid_t pid = child([&] {
    EXPECT_ERR(execl("/no/such/program", "x", nullptr), ENOENT);
    execv(kSelf, arguments("echo", {OK(dup(pair.b))}));
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(other_ways_to_execute) {
  Pair pair = tcp_pair();
  int program = OK(open(kSelf, O_RDONLY | O_CLOEXEC));
  pid_t pid = child([&] { fexecve(program, arguments("echo", {pair.b}), environ); });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  pid = child([&] {
    syscall(SYS_execveat, program, "", arguments("echo", {pair.b}), nothing, AT_EMPTY_PATH);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  pid = vfork();
  if (pid == 0) {
    execve(kSelf, arguments("echo", {pair.b}), nothing);
    _exit(99);
  }
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(vfork_and_failed_exec) {
  Pair pair = tcp_pair();
  pid_t pid = vfork();
  if (pid == 0) {
    execl("/no/such/program", "x", nullptr);
    _exit(errno == ENOENT ? 12 : 13);
  }
  EXPECT_EXIT(pid, 12);
  EXPECT(pair_works(pair));
}

// musl's posix_spawn has 5 KiB for its child, whose system calls include some that no scan can
// prove.
TEST(child_on_a_small_stack) {
  static volatile long number = SYS_getppid;
  alignas(16) static unsigned char stack[32768];
  memset(stack, 0xa5, sizeof stack);
  auto body = [](void*) -> int {
    long result = 0;
    for (int i = 0; i < 50; i++)  // often enough to be worth patching
      asm volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory");
    return result > 0 ? 14 : 15;
  };
  pid_t pid = OK(clone(body, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr));
  EXPECT_EXIT(pid, 14);
  size_t untouched = 0;
  while (untouched < sizeof stack && stack[untouched] == 0xa5) untouched++;
  EXPECT(sizeof stack - untouched <= getauxval(AT_MINSIGSTKSZ) + 1536);
}

TEST(exec_beside_threads) {
  Pair pair = tcp_pair(), idle = tcp_pair();
  pid_t pid = child([&] {
    std::thread blocked([&] {
      char byte;
      recv(idle.a, &byte, 1, 0);
    });
    sleep_ms(20);
    // From a thread that is not the first: the process keeps its pid, and the other threads are
    // gone.
    std::thread other([&] { execv(kSelf, arguments("echo", {pair.b})); });
    other.join();
    blocked.join();
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(spawn_with_actions) {
  Pair pair = tcp_pair(SOCK_CLOEXEC);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pair.b, 0);
  posix_spawn_file_actions_adddup2(&actions, pair.b, 1);
  posix_spawn_file_actions_addclose(&actions, pair.a);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  for (char** env : {environ, nothing}) {
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, kSelf, &actions, nullptr, arguments("inetd"), env), 0);
    EXPECT(echoes(pair.a));
    EXPECT_EXIT(pid, 0);
  }
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, "/no/such", &actions, nullptr, arguments("inetd"), environ), ENOENT);
  EXPECT_EQ(posix_spawnp(&pid, "mino-no-such", nullptr, nullptr, arguments("x"), environ), ENOENT);
  posix_spawn_file_actions_adddup2(&actions, 9999, 5);
  EXPECT_EQ(posix_spawn(&pid, kSelf, &actions, nullptr, arguments("inetd"), environ), EBADF);
  EXPECT(pair_works(pair));
  // Onto itself: the flag is cleared.
  posix_spawn_file_actions_t keep;
  posix_spawn_file_actions_init(&keep);
  posix_spawn_file_actions_adddup2(&keep, pair.b, pair.b);
  EXPECT_EQ(posix_spawn(&pid, kSelf, &keep, nullptr, arguments("echo", {pair.b}), nothing), 0);
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

TEST(fifty_spawns) {
  Pair pair = tcp_pair();
  for (int i = 0; i < 50; i++) {
    pid_t pid = -1;
    char** env = i % 2 ? nothing : environ;
    EXPECT_EQ(posix_spawn(&pid, kSelf, nullptr, nullptr, arguments("echo", {pair.b}), env), 0);
    EXPECT(echoes(pair.a));
    EXPECT_EXIT(pid, 0);
  }
}

TEST(shell_with_a_socket) {
  Pair pair = tcp_pair();
  EXPECT_EQ(dup2(pair.b, 8), 8);
  pid_t pid =
      child([] { execl("/bin/sh", "sh", "-c", "read line <&8; echo got $line >&8", nullptr); });
  EXPECT_EQ(write(pair.a, "a line\n", 7), 7);
  char text[32] = {};
  EXPECT_EQ(recv(pair.a, text, 11, MSG_WAITALL), 11);
  EXPECT_TEXT(text, "got a line\n");
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(WEXITSTATUS(system("exit 3")), 3);
  FILE* out = popen("echo through a pipe", "r");
  EXPECT(out && fgets(text, sizeof text, out));
  EXPECT_TEXT(text, "through a pipe\n");
  EXPECT_EQ(pclose(out), 0);
  EXPECT(pair_works(pair));
}

namespace {

// This program in its other form: without ld.so, or with it.
std::string other_kind() {
  char path[4096] = {};
  OK(readlink(kSelf, path, sizeof path - 1));
  std::string name = path;
  const std::string suffix = "-static";
  if (name.size() > suffix.size() && name.ends_with(suffix))
    return name.substr(0, name.size() - suffix.size());
  return name + suffix;
}

}  // namespace

// The names by which the program is known, to itself and to others.
HELPER(names) {
  char path[4096] = {};
  EXPECT(readlink("/proc/self/exe", path, sizeof path) > 0);
  EXPECT_EQ(strcmp(path, argv[2]), 0);
  memset(path, 0, sizeof path);
  const std::string by_number = "/proc/" + std::to_string(getpid()) + "/exe";
  EXPECT(readlink(by_number.c_str(), path, sizeof path) > 0);
  EXPECT_EQ(strcmp(path, argv[2]), 0);
  struct stat one, other;
  EXPECT_EQ(stat("/proc/self/exe", &one), 0);
  EXPECT_EQ(stat(argv[2], &other), 0);
  EXPECT_EQ(one.st_ino, other.st_ino);
  int fd = OK(open("/proc/self/exe", O_RDONLY));
  EXPECT_EQ(fstat(fd, &other), 0);
  EXPECT_EQ(one.st_ino, other.st_ino);
  EXPECT_TEXT(argv[0], "any name");
  EXPECT_EQ(argc, 3);
  char text[512] = {};
  fd = OK(open("/proc/self/cmdline", O_RDONLY));
  const std::string line = std::string("any name") + '\0' + "@names" + '\0' + argv[2] + '\0';
  EXPECT_EQ(read(fd, text, sizeof text), line.size());
  EXPECT_EQ(memcmp(text, line.data(), line.size()), 0);
  EXPECT_EQ(memcmp(program_invocation_short_name, "any name", 8), 0);
  EXPECT(getenv("MINO_RUN") == nullptr && getenv("LD_PRELOAD") == nullptr);
  return check::failures ? 1 : 0;
}

TEST(other_kind_of_program) {
  const std::string other = other_kind();
  EXPECT_EQ(access(other.c_str(), X_OK), 0);
  Pair pair = tcp_pair();
  const timeval patience = {3, 0};
  EXPECT_EQ(setsockopt(pair.a, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  pid_t pid = child([&] {
    std::string fd = std::to_string(pair.b);
    execl(other.c_str(), "exec", "@echo", fd.c_str(), nullptr);
    _exit(127);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  pid = child([&] {
    execl(other.c_str(), "any name", "@names", other.c_str(), nullptr);
    _exit(127);
  });
  EXPECT_EXIT(pid, 0);
  // Without any environment, by its directory, and as a script's interpreter.
  pid = child([&] {
    std::string fd = std::to_string(pair.b);
    const char* words[] = {"exec", "@echo", fd.c_str(), nullptr};
    const size_t slash = other.rfind('/');
    int directory = OK(open(other.substr(0, slash).c_str(), O_DIRECTORY | O_CLOEXEC));
    syscall(SYS_execveat, directory, other.c_str() + slash + 1, words, nothing, 0);
    _exit(127);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  const std::string name = std::string(check::scratch()) + "/script";
  int script = OK(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0755));
  std::string text = "#!" + other + " @script\n";
  EXPECT_EQ(write(script, text.data(), text.size()), text.size());
  EXPECT_EQ(close(script), 0);
  pid = child([&] {
    std::string fd = std::to_string(pair.b);
    execl(name.c_str(), "not seen", fd.c_str(), "last", nullptr);
    _exit(127);
  });
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
  EXPECT_EQ(chmod(name.c_str(), 0644), 0);
  EXPECT_ERR(execl(name.c_str(), "no", nullptr), EACCES);
  // posix_spawn shares memory until the new program begins.
  std::string fd = std::to_string(pair.b);
  char* words[] = {const_cast<char*>("exec"), const_cast<char*>("@echo"), fd.data(), nullptr};
  EXPECT_EQ(posix_spawn(&pid, other.c_str(), nullptr, nullptr, words, environ), 0);
  EXPECT(echoes(pair.a));
  EXPECT_EXIT(pid, 0);
}

// argv: interpreter, "@script", the script's path, fd, "last"
HELPER(script) {
  EXPECT_EQ(argc, 5);
  EXPECT(std::string_view(argv[2]).ends_with("/script"));
  EXPECT_TEXT(argv[4], "last");
  if (check::failures) return 1;
  char* words[] = {argv[0], argv[1], argv[3], nullptr};
  return helper_echo(3, words);
}

// A tracer that waits for the exec sees nothing before it: after a fork, after a vfork, and after a
// stop that the child asks for.
TEST(traced_children) {
  auto expect_stop = [](pid_t pid, int signo) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSTOPPED(status));
    EXPECT_EQ(WSTOPSIG(status), signo);
    EXPECT_EQ(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
  };
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    EXPECT_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    EXPECT_ERR(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM);
    EXPECT(pair_works(pair));
    execl("/bin/sh", "sh", "-c", "exit 3", nullptr);
  });
  expect_stop(pid, SIGTRAP);
  EXPECT_EXIT(pid, 3);
  pid = vfork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execl("/bin/sh", "sh", "-c", "exit 4", nullptr);
    _exit(1);
  }
  expect_stop(pid, SIGTRAP);
  EXPECT_EXIT(pid, 4);
  pid = child([&] {
    EXPECT_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    EXPECT_EQ(raise(SIGSTOP), 0);
    _exit(check::failures ? 1 : 5);
  });
  expect_stop(pid, SIGSTOP);
  EXPECT_EXIT(pid, 5);
  // Its own children are not traced.
  pid = child([&] {
    EXPECT_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    sigset_t no_stop;
    sigemptyset(&no_stop);
    sigaddset(&no_stop, SIGCHLD);
    sigprocmask(SIG_BLOCK, &no_stop, nullptr);
    EXPECT_EXIT(child([] { execl("/bin/sh", "sh", "-c", "exit 7", nullptr); }), 7);
  });
  EXPECT_EXIT(pid, 0);
  // A process that has a tracer cannot ask for one.
  int ready[2];
  OK(pipe(ready));
  pid = child([&] {
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_ERR(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM);
  });
  EXPECT_EQ(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
  EXPECT_EQ(write(ready[1], "r", 1), 1);
  int seen = 0;
  while (waitpid(pid, &seen, 0) == pid && WIFSTOPPED(seen))  // each of mino's traps is one
    EXPECT_EQ(ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(seen)), 0);
  EXPECT(WIFEXITED(seen));
  EXPECT_EQ(WEXITSTATUS(seen), 0);
  // A fault is seen where it happens, before any handler.
  pid = child([&] {
    EXPECT_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    signal(SIGSEGV, [](int) { _exit(2); });
    asm volatile("xor %%eax, %%eax\n\tmov (%%rax), %%rbx" ::: "rax", "rbx");
  });
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV);
  user_regs_struct registers = {};
  EXPECT_EQ(ptrace(PTRACE_GETREGS, pid, 0, &registers), 0);
  EXPECT_EQ(ptrace(PTRACE_PEEKTEXT, pid, registers.rip, 0) & 0xffffff, 0x188b48);
  EXPECT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT(WIFSIGNALED(status));
}
