// SPDX-License-Identifier: Apache-2.0
//
// What a system call must leave alone, down to the last register, wherever its instruction is: in
// libc, in a leaf function with data below the stack pointer, in code made at run time, in a
// library loaded late. x86-64 only.
//
// Tests whose name starts with odd_site_ need the hook to see instructions that no scan at startup
// could have found or rewritten. A run that only patches may leave them out.

#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// Makes a system call with every general register except its own set to a known value. Returns the
// result; `kept` says whether all of them came back.
struct Registers {
  uint64_t rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r10, r8, r9, rsp_delta;
};

extern "C" long call_and_look(long number, const uint64_t* six, Registers* after);
asm(R"(
.text
.globl call_and_look
.type call_and_look, @function
call_and_look:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  push %rdx
  mov %rdi, %rax
  mov %rsi, %r11
  mov 0(%r11), %rdi
  mov 8(%r11), %rsi
  mov 16(%r11), %rdx
  mov 24(%r11), %r10
  mov 32(%r11), %r8
  mov 40(%r11), %r9
  movabs $0x1111111111111111, %rbx
  movabs $0x2222222222222222, %rbp
  movabs $0x3333333333333333, %r12
  movabs $0x4444444444444444, %r13
  movabs $0x5555555555555555, %r14
  mov %rsp, %r15
  syscall
  mov (%rsp), %rcx
  mov %rbx, 0(%rcx)
  mov %rbp, 8(%rcx)
  mov %r12, 16(%rcx)
  mov %r13, 24(%rcx)
  mov %r14, 32(%rcx)
  mov %r15, 40(%rcx)
  mov %rdi, 48(%rcx)
  mov %rsi, 56(%rcx)
  mov %rdx, 64(%rcx)
  mov %r10, 72(%rcx)
  mov %r8, 80(%rcx)
  mov %r9, 88(%rcx)
  sub %rsp, %r15
  mov %r15, 96(%rcx)
  pop %rdx
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
.size call_and_look, .-call_and_look
)");

long looked_call(long number, std::initializer_list<uint64_t> arguments) {
  uint64_t six[6] = {0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6};
  std::copy(arguments.begin(), arguments.end(), six);
  Registers after = {};
  long result = call_and_look(number, six, &after);
  EXPECT_EQ(after.rbx, 0x1111111111111111);
  EXPECT_EQ(after.rbp, 0x2222222222222222);
  EXPECT_EQ(after.r12, 0x3333333333333333);
  EXPECT_EQ(after.r13, 0x4444444444444444);
  EXPECT_EQ(after.r14, 0x5555555555555555);
  EXPECT_EQ(after.rsp_delta, 0);
  EXPECT_EQ(after.rdi, six[0]);
  EXPECT_EQ(after.rsi, six[1]);
  EXPECT_EQ(after.rdx, six[2]);
  EXPECT_EQ(after.r10, six[3]);
  EXPECT_EQ(after.r8, six[4]);
  EXPECT_EQ(after.r9, six[5]);
  return result;
}

uint64_t word(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}
uint64_t word(int fd) {
  return static_cast<uint64_t>(fd);
}

// A leaf function that keeps sixteen words below the stack pointer while it makes a system call,
// whose number is in the instruction before. Returns the result in the first word, then the sixteen
// words.
extern "C" void red_zone_send(long fd, const void* data, long size, uint64_t* out);
extern "C" void red_zone_recv(long fd, void* data, long size, uint64_t* out);
#define RED_ZONE_FUNCTION(name, number)                                                          \
  asm(".text\n.globl " #name "\n.type " #name ", @function\n" #name                              \
      ":\n"                                                                                      \
      "  push %rbx\n  mov %rcx, %rbx\n"                                                          \
      "  movabs $0x0123456789abcdef, %rcx\n"                                                     \
      ".set i, 1\n.rept 16\n  mov %rcx, -8*i(%rsp)\n  add $1, %rcx\n.set i, i+1\n.endr\n"        \
      "  xor %r10d, %r10d\n  xor %r8d, %r8d\n  xor %r9d, %r9d\n"                                 \
      "  mov $" #number                                                                          \
      ", %eax\n  syscall\n"                                                                      \
      "  mov %rax, (%rbx)\n"                                                                     \
      ".set i, 1\n.rept 16\n  mov -8*i(%rsp), %rcx\n  mov %rcx, 8*i(%rbx)\n.set i, i+1\n.endr\n" \
      "  pop %rbx\n  ret\n.size " #name ", .-" #name "\n")
RED_ZONE_FUNCTION(red_zone_send, 44);
RED_ZONE_FUNCTION(red_zone_recv, 45);

// Sites whose last bytes before the `syscall` look like another instruction than they are.
extern "C" long site_behind_r10(int how, const void* set, void* old);
extern "C" long site_behind_r8(uint64_t* r8);
extern "C" long site_behind_local(uint64_t* local);
asm(R"(
.text
.globl site_behind_r10, site_behind_r8, site_behind_local
.type site_behind_r10, @function
site_behind_r10:
  mov $14, %eax              # rt_sigprocmask
  mov $8, %r10d              # 41, then mov $8,%edx
  syscall
  ret
.size site_behind_r10, .-site_behind_r10
.type site_behind_r8, @function
site_behind_r8:
  mov $39, %eax              # getpid
  mov $9, %r8d               # 41, then mov $9,%eax: mmap
  syscall
  mov %r8, (%rdi)
  ret
.size site_behind_r8, .-site_behind_r8
.type site_behind_local, @function
site_behind_local:
  push %rbp
  mov %rsp, %rbp
  sub $0x60, %rsp
  mov $39, %eax
  movl $3, -0x48(%rbp)       # c7 45, then mov $3,%eax: close
  syscall
  movslq -0x48(%rbp), %rcx
  mov %rcx, (%rdi)
  leave
  ret
.size site_behind_local, .-site_behind_local
)");

void expect_red_zone(const uint64_t* out, long result) {
  EXPECT_EQ(out[0], result);
  for (uint64_t i = 1; i <= 16; i++) EXPECT_EQ(out[i], 0x0123456789abcdef + i - 1);
}

std::string beside_the_program(const char* name) {
  char path[4096] = {};
  OK(readlink("/proc/self/exe", path, sizeof path - 1));
  std::string text = path;
  return text.substr(0, text.rfind('/') + 1) + name;
}

}  // namespace

TEST(red_zone) {
  Pair pair = tcp_pair();
  uint64_t out[17] = {};
  char text[8] = {};
  for (int i = 0; i < 100; i++) {
    red_zone_send(pair.a, "zone", 4, out);
    expect_red_zone(out, 4);
    red_zone_recv(pair.b, text, 4, out);
    expect_red_zone(out, 4);
    EXPECT_TEXT(text, "zone");
  }
  red_zone_send(9999, "zone", 4, out);
  expect_red_zone(out, -EBADF);
  red_zone_send(pair.a, bad_pointers()[1], 4, out);
  expect_red_zone(out, -EFAULT);
}

TEST(red_zone_while_blocked) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Pair pair = tcp_pair();
  uint64_t out[17] = {};
  char text[8] = {};
  Outcome outcome;
  auto call = [&] {
    red_zone_recv(pair.b, text, 4, out);
    return static_cast<long>(out[0]);
  };
  while_blocked(&outcome, call, [&](pthread_t thread) {
    while (handled < 5) {
      pthread_kill(thread, SIGUSR1);
      sleep_ms(5);
    }
    EXPECT_EQ(write(pair.a, "late", 4), 4);
  });
  expect_red_zone(out, 4);
  EXPECT_TEXT(text, "late");
}

TEST(libc_errno) {
  Pair pair = tcp_pair();
  errno = 4711;
  EXPECT(pair_works(pair));
  EXPECT_EQ(errno, 4711);  // success leaves it alone
  EXPECT_EQ(syscall(SYS_sendto, pair.a, "x", 1, 0, nullptr, 0), 1);
  EXPECT_EQ(errno, 4711);
  EXPECT_ERR(syscall(SYS_sendto, -1, "x", 1, 0, nullptr, 0), EBADF);
  EXPECT_ERR(syscall(100000, 1, 2, 3), ENOSYS);
  EXPECT_ERR(syscall(-1, 1, 2, 3), ENOSYS);
}

TEST(odd_site_registers) {
  Pair pair = tcp_pair();
  char byte = 0;
  EXPECT_EQ(looked_call(SYS_sendto, {word(pair.a), word("x"), 1, 0, 0, 0}), 1);
  EXPECT_EQ(looked_call(SYS_recvfrom, {word(pair.b), word(&byte), 1, 0, 0, 0}), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(looked_call(SYS_getpid, {}), getpid());
  EXPECT_EQ(looked_call(SYS_close, {9999}), -EBADF);
  EXPECT_EQ(looked_call(SYS_sendto, {word(pair.a), 16, 1, 0, 0, 0}), -EFAULT);
  int fd = static_cast<int>(looked_call(SYS_socket, {AF_INET, SOCK_STREAM, 0}));
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(looked_call(SYS_close, {word(fd)}), 0);
  EXPECT_EQ(looked_call(1000000, {}), -ENOSYS);
}

TEST(sites_that_look_otherwise) {
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  EXPECT_EQ(sigprocmask(SIG_BLOCK, &usr2, nullptr), 0);
  for (int i = 0; i < 50; i++) {  // by the trap, and again when it may have been patched
    uint64_t blocked = 0, left = 0;
    EXPECT_EQ(site_behind_r10(SIG_BLOCK, nullptr, &blocked), 0);
    EXPECT(blocked & 1ull << (SIGUSR2 - 1));
    EXPECT_EQ(site_behind_r8(&left), getpid());
    EXPECT_EQ(left, 9);
    EXPECT_EQ(site_behind_local(&left), getpid());
    EXPECT_EQ(left, 3);
  }
}

// A tier that does not see the close learns of it when the number is used again.
TEST(numbers_closed_by_an_odd_site) {
  Pair pair = tcp_pair();
  int fd;
  char text[5] = {};
  EXPECT_EQ(looked_call(SYS_close, {word(pair.a)}), 0);
  while ((fd = OK(open("/etc/passwd", O_RDONLY))) < pair.a) {
  }
  EXPECT_EQ(fd, pair.a);
  EXPECT_EQ(pread(fd, text, 4, 0), 4);
  EXPECT_TEXT(text, "root");
  EXPECT_EQ(recv(pair.b, text, 1, 0), 0);
  EXPECT_EQ(looked_call(SYS_close, {word(pair.b)}), 0);
  while ((fd = OK(socket(AF_INET, SOCK_DGRAM, 0))) < pair.b) {
  }
  EXPECT_EQ(fd, pair.b);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
}

TEST(local_files_at_numbers_closed_by_an_odd_site) {
  sigset_t set;
  sigemptyset(&set);
  const int self = static_cast<int>(OK(syscall(SYS_pidfd_open, getpid(), 0)));
  const int null = OK(open("/dev/null", O_RDONLY)), events = OK(epoll_create1(0));
  const std::pair<const char*, std::function<int()>> ways[] = {
      {"epoll_create1", [] { return epoll_create1(0); }},
      {"signalfd", [&] { return signalfd(-1, &set, SFD_NONBLOCK); }},
      {"dup of an epoll set", [&] { return dup(events); }},
      {"pidfd_getfd", [&] { return static_cast<int>(syscall(SYS_pidfd_getfd, self, null, 0)); }}};
  for (const auto& [name, make] : ways) {
    Pair pair = tcp_pair();
    EXPECT_EQ(looked_call(SYS_close, {word(pair.a)}), 0);
    int fd;
    while ((fd = OK(make())) < pair.a) {
    }
    EXPECT_EQ(fd, pair.a);
    char byte;
    if (!readable(pair.b)) {
      check::fail(__FILE__, __LINE__, name, "the socket is open still");
    } else {
      EXPECT_EQ(recv(pair.b, &byte, 1, 0), 0);
    }
    EXPECT_EQ(fcntl(fd, F_GETFD) & ~FD_CLOEXEC, 0);
    struct stat about;
    EXPECT_EQ(fstat(fd, &about), 0);
    EXPECT(!S_ISSOCK(about.st_mode));
    EXPECT_EQ(close(fd), 0);
  }
}

// What is read from a file is unchanged, whatever was at its number before.
TEST(file_at_the_number_of_a_signalfd_closed_by_an_odd_site) {
  sigset_t set;
  sigemptyset(&set);
  const int signals = OK(signalfd(-1, &set, 0)), file = OK(memfd_create("records", 0));
  const int record[32] = {SIGRTMIN, 1, -5 /* SI_SIGIO */};
  int got[32] = {};
  EXPECT_EQ(pwrite(file, record, sizeof record, 0), sizeof record);
  const std::string path = "/proc/self/fd/" + std::to_string(file);  // a link
  EXPECT_EQ(looked_call(SYS_close, {word(signals)}), 0);
  EXPECT_EQ(OK(open(path.c_str(), O_RDONLY)), signals);
  EXPECT_EQ(read(signals, got, sizeof got), sizeof got);
  EXPECT_EQ(memcmp(got, record, sizeof got), 0);
}

TEST(odd_site_registers_while_blocked) {
  on_signal(SIGUSR1, count_signal, SA_RESTART);
  Pair pair = tcp_pair();
  char byte = 0;
  Outcome outcome;
  auto call = [&] { return looked_call(SYS_recvfrom, {word(pair.b), word(&byte), 1, 0, 0, 0}); };
  while_blocked(&outcome, call, [&](pthread_t thread) {
    while (handled < 5) {
      pthread_kill(thread, SIGUSR1);
      sleep_ms(5);
    }
    EXPECT_EQ(write(pair.a, "b", 1), 1);
  });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(byte, 'b');
  on_signal(SIGUSR1, count_signal);
  Outcome interrupted;
  interrupt_until_done(&interrupted, SIGUSR1, call);
  EXPECT_EQ(interrupted.result, -EINTR);
}

// mov $number,%eax; syscall; ret, written at run time into several pages.
TEST(odd_site_made_at_run_time) {
  const unsigned char code[] = {0x49, 0x89, 0xca,                    // mov %rcx, %r10
                                0xb8, 44,   0,    0, 0, 0x0f, 0x05,  // mov $44, %eax; syscall
                                0xc3};
  Pair pair = tcp_pair();
  char text[8] = {};
  for (size_t at : {size_t{0}, size_t{100}, kPage - 9, kPage - 5}) {  // across a page border, too
    void* page =
        mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(page != MAP_FAILED);
    auto* start = static_cast<unsigned char*>(page) + at;
    memcpy(start, code, sizeof code);
    OK(mprotect(page, 2 * kPage, PROT_READ | PROT_EXEC));
    auto send_by_code =
        reinterpret_cast<long (*)(long, const void*, long, long, long, long)>(start);
    for (int i = 0; i < 3; i++) {
      EXPECT_EQ(send_by_code(pair.a, "jit", 3, 0, 0, 0), 3);
      EXPECT_EQ(recv(pair.b, text, 3, MSG_WAITALL), 3);
      EXPECT_TEXT(text, "jit");
    }
    // The program may rewrite its own code and read back what it wrote.
    OK(mprotect(page, 2 * kPage, PROT_READ | PROT_WRITE));
    start[4] = 39;  // getpid
    OK(mprotect(page, 2 * kPage, PROT_READ | PROT_EXEC));
    EXPECT_EQ(send_by_code(0, nullptr, 0, 0, 0, 0), getpid());
    OK(munmap(page, 2 * kPage));
  }
}

void use_library(const char* name) {
  Pair pair = tcp_pair();
  void* library = dlopen(beside_the_program(name).c_str(), RTLD_NOW);
  EXPECT(library != nullptr);
  if (!library) return;
  auto plugin_send =
      reinterpret_cast<long (*)(int, const void*, unsigned long)>(dlsym(library, "plugin_send"));
  auto plugin_call = reinterpret_cast<long (*)(long, long, long, long, long, long, long)>(
      dlsym(library, "plugin_call"));
  char text[8] = {};
  for (int i = 0; i < 40; i++) {  // an instruction that traps again and again is rewritten
    EXPECT_EQ(plugin_send(pair.a, "plug", 4), 4);
    EXPECT_EQ(recv(pair.b, text, 4, MSG_WAITALL), 4);
    EXPECT_TEXT(text, "plug");
    auto to_text = static_cast<long>(word(text));
    EXPECT_EQ(plugin_call(SYS_sendto, pair.b, to_text, 4, 0, 0, 0), 4);
    EXPECT_EQ(plugin_call(SYS_recvfrom, pair.a, to_text, 4, 0, 0, 0), 4);
  }
  long fd = plugin_call(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
  EXPECT_EQ(option(static_cast<int>(fd), SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  EXPECT_EQ(plugin_call(SYS_getppid, 0, 0, 0, 0, 0, 0), getppid());
  EXPECT_EQ(dlclose(library), 0);
  EXPECT(pair_works(pair));
}

TEST(odd_site_in_a_late_library) {
  use_library("syscalls_plugin.so");
}

TEST(odd_site_in_a_library_of_one_segment) {
  use_library("syscalls_plugin_one_segment.so");
}

// Eight threads, each with a socket pair of its own, make their calls by one instruction while it
// is rewritten.
TEST(odd_site_raced_by_eight_threads) {
  for (int round = 0; round < 20; round++) {
    void* library = dlopen(beside_the_program("syscalls_plugin.so").c_str(), RTLD_NOW);
    EXPECT(library != nullptr);
    if (!library) return;
    auto plugin_send =
        reinterpret_cast<long (*)(int, const void*, unsigned long)>(dlsym(library, "plugin_send"));
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) {
      threads.emplace_back([&, i] {
        Pair pair = udp_pair();
        char sent = static_cast<char>('a' + i), got = 0;
        for (int k = 0; k < 50; k++) {
          EXPECT_EQ(plugin_send(pair.a, &sent, 1), 1);
          EXPECT_EQ(recv(pair.b, &got, 1, 0), 1);
          EXPECT_EQ(got, sent);
        }
        close_pair(pair);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(dlclose(library), 0);
  }
}

TEST(code_mapped_beyond_its_file) {
  char path[] = "/tmp/mino-code-XXXXXX";
  int fd = OK(mkstemp(path));
  EXPECT_EQ(unlink(path), 0);
  const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};  // getpid
  EXPECT_EQ(write(fd, code, sizeof code), static_cast<long>(sizeof code));
  void* at = mmap(nullptr, 4 * 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  EXPECT(at != MAP_FAILED);
  EXPECT_EQ(reinterpret_cast<int (*)()>(at)(), getpid());
  EXPECT_EQ(munmap(at, 4 * 4096), 0);
  EXPECT(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096) != MAP_FAILED);
  close(fd);
}

// Nothing may become executable any more: a site that has not been rewritten by then is still
// trapped.
TEST(nothing_executable_is_made) {
  constexpr int kSetMdwe = 65, kRefuseExecGain = 1;
  pid_t pid = child([&] {
    if (prctl(kSetMdwe, kRefuseExecGain, 0, 0, 0) != 0) return;  // before Linux 6.3
    Pair pair = tcp_pair();
    for (int i = 0; i < 100; i++) EXPECT(pair_works(pair));
  });
  EXPECT_EXIT(pid, 0);
}

// Some programs unmap what they have not mapped, from address 0 on: libtdb does. By then the hook
// has pages of its own there.
TEST(memory_that_nobody_has_mapped) {
  for (int i = 0; i < 2000; i++) close(OK(socket(AF_INET, SOCK_DGRAM, 0)));
  void* const low = reinterpret_cast<void*>(0x60000);
  constexpr size_t kBytes = 0x10000;
  EXPECT_EQ(munmap(low, kBytes), 0);
  EXPECT_EQ(munmap(nullptr, 1 << 20), 0);
  EXPECT_EQ(munmap(low, 4096), 0);
  EXPECT_ERR(munmap(reinterpret_cast<void*>(0x60001), kBytes), EINVAL);
  EXPECT(pair_works(tcp_pair()));
}

// The vDSO's own system call, which it makes for the clocks that it cannot read.
TEST(clocks_behind_the_vdso) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                          CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI}) {
    for (int i = 0; i < 40; i++) {
      timespec time = {-1, -1};
      EXPECT_EQ(clock_gettime(clock, &time), 0);
      EXPECT(time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000);
    }
  }
  timespec time;
  EXPECT_ERR(clock_gettime(77, &time), EINVAL);
}

namespace {
volatile char selector;
volatile sig_atomic_t dispatched;
}  // namespace

// Syscall User Dispatch for the program itself.
TEST(dispatch_of_its_own) {
  constexpr int kSetDispatch = 59, kOff = 0, kOn = 1;
  EXPECT_EQ(prctl(kSetDispatch, kOff, 0, 0, 0), 0);
  EXPECT_ERR(prctl(kSetDispatch, kOff, 0, 1, 0), EINVAL);
  EXPECT_ERR(prctl(kSetDispatch, 77, 0, 0, 0), EINVAL);
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  on_signal(SIGSYS, [](int) {
    selector = 0;
    dispatched = dispatched + 1;
  });
  EXPECT_EQ(prctl(kSetDispatch, kOn, 0, 0, &selector), 0);
  if (check::failures) return;
  selector = 1;
  getppid();
  selector = 0;
  EXPECT_EQ(dispatched, 1);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(prctl(kSetDispatch, kOff, 0, 0, 0), 0);
}

// If the kernel has none, both runs end by SIGSEGV.
TEST(calls_of_32_bits) {
  const pid_t pid = child([] {
    for (int i = 0; i < 20; i++) {
      long result;
      asm volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
      EXPECT_EQ(result, getpid());
      asm volatile("int $0x80" : "=a"(result) : "a"(3 /* read */), "b"(-1), "c"(0), "d"(0));
      EXPECT_EQ(result, -EBADF);
    }
    EXPECT(pair_works(tcp_pair()));
  });
  const int status = wait_for(pid);
  EXPECT(status == 0 || WTERMSIG(status) == SIGSEGV);
}

TEST(text_is_not_data) {
  // Bytes in a constant of the program that look like the instruction are left alone.
  static const volatile unsigned char bytes[] = {0xb8, 44, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x05};
  EXPECT(pair_works(tcp_pair()));
  EXPECT_EQ(bytes[0], 0xb8);
  EXPECT_EQ(bytes[5], 0x0f);
  EXPECT_EQ(bytes[6], 0x05);
  EXPECT_EQ(bytes[8], 0x05);
}
