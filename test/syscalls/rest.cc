// SPDX-License-Identifier: Apache-2.0
//
// Programs that make so many calls that a hook may scan their text and disarm the trap. What is not
// text must stay as it is, and text that comes later, or was overlooked, must be seen. x86-64 only.
// A run that only patches, or knows only libc's functions, may leave this program out.

#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <functional>
#include <thread>

#include "children.h"
#include "filters.h"
#include "loopback.h"
#include "memory.h"

namespace {

constexpr uint64_t kTable = 0x80cd'340f'050f'050f;

// A `mov` with 0f 05 in its constant; tables between functions; a function without unwind
// information; one that reaches its `syscall` in two ways; one whose `syscall` has a prefix.
extern "C" uint64_t constant_in_function();
extern "C" const uint64_t table_in_text;
extern "C" long unlisted_call(long number, long a, long b, long c);
extern "C" long call_in_two_ways(long way, long a, long b, long c);
extern "C" long prefixed_call(long number, long a, long b, long c);
extern "C" const unsigned char site_like_data[8];
asm(R"(
.text
.globl constant_in_function, table_in_text, unlisted_call, call_in_two_ways, prefixed_call
.globl site_like_data
.type constant_in_function, @function
constant_in_function:
  .cfi_startproc
  movabs $0x80cd340f050f050f, %rax
  ret
  .cfi_endproc
.size constant_in_function, .-constant_in_function

.p2align 12
table_in_text:
  .quad 0x80cd340f050f050f
.p2align 12
.type unlisted_call, @function
unlisted_call:
  mov %rdi, %rax
  mov %rsi, %rdi
  mov %rdx, %rsi
  mov %rcx, %rdx
  nop
  syscall
  ret
.size unlisted_call, .-unlisted_call
.p2align 12

.type call_in_two_ways, @function
call_in_two_ways:
  .cfi_startproc
  sub $8, %rsp
  .cfi_adjust_cfa_offset 8
  mov %edi, %eax
  mov %esi, 4(%rsp)
  mov %rdx, %rsi
  mov %rcx, %rdx
  test %eax, %eax
  jne 1f
  mov $50, %eax              # listen
  mov 4(%rsp), %edi
2:
  syscall
  cmp $-4096, %rax
  lea 8(%rsp), %rsp
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_adjust_cfa_offset 8
1:
  mov 4(%rsp), %edi
  jmp 2b
  .cfi_endproc
.size call_in_two_ways, .-call_in_two_ways

.p2align 4
site_like_data:
  .byte 0xb8, 50, 0, 0, 0, 0x0f, 0x05, 0xc3
.p2align 12
.type prefixed_call, @function
prefixed_call:
  .cfi_startproc
  mov %rdi, %rax
  mov %rsi, %rdi
  mov %rdx, %rsi
  mov %rcx, %rdx
  rex.W
  syscall
  ret
  .cfi_endproc
.size prefixed_call, .-prefixed_call
.p2align 12
)");

// More than any number of calls that a hook waits for, even the second time.
void make_many_calls() {
  for (int i = 0; i < 150'000; i++) fcntl(-1, F_GETFD);
}

// Calls on a socket that was made by libc's calls: it is a socket, and is closed afterwards.
using Call = std::function<long(long number, long a, long b, long c)>;
void expect_seen(const Call& call) {
  const int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(call(SYS_listen, fd, 1, 0), 0);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(call(SYS_close, fd, 0, 0), 0);
  EXPECT_ERR(fcntl(fd, F_GETFD), EBADF);
}

// The same function as unlisted_call, for memory that is made executable.
constexpr unsigned char kCode[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89,
                                   0xd6, 0x48, 0x89, 0xca, 0x0f, 0x05, 0xc3};

Call code_at(const void* memory) {
  return reinterpret_cast<long (*)(long, long, long, long)>(const_cast<void*>(memory));
}

void* writable() {
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(page != MAP_FAILED);
  memcpy(page, kCode, sizeof kCode);
  return page;
}

void* made_by_mmap() {
  void* page =
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(page != MAP_FAILED);
  memcpy(page, kCode, sizeof kCode);
  return page;
}

void* made_by_mprotect() {
  void* page = writable();
  OK(mprotect(page, kPage, PROT_READ | PROT_EXEC));
  return page;
}

void* made_by_pkey_mprotect() {
  void* page = writable();
  OK(syscall(SYS_pkey_mprotect, page, kPage, PROT_READ | PROT_EXEC, -1));
  return page;
}

void* made_by_shmat() {
  const int id = OK(shmget(IPC_PRIVATE, kPage, IPC_CREAT | 0700));
  void* at = shmat(id, nullptr, SHM_EXEC);
  EXPECT(at != MAP_FAILED);
  OK(shmctl(id, IPC_RMID, nullptr));
  memcpy(at, kCode, sizeof kCode);
  return at;
}

void* made_by_personality() {
  OK(personality(READ_IMPLIES_EXEC));
  return writable();
}

// The signal that ended a child, or 0.
int signal_of(pid_t pid) {
  const int status = wait_for(pid);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void* made_by_file() {
  const int fd = OK(memfd_create("code", 0));
  EXPECT_EQ(write(fd, kCode, sizeof kCode), static_cast<long>(sizeof kCode));
  void* at = mmap(nullptr, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  EXPECT(at != MAP_FAILED);
  OK(close(fd));
  return at;
}

}  // namespace

TEST(what_is_not_text) {
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(constant_in_function(), kTable);
    EXPECT_EQ(table_in_text, kTable);
    constexpr unsigned char kSite[] = {0xb8, 50, 0, 0, 0, 0x0f, 0x05, 0xc3};
    EXPECT_EQ(memcmp(site_like_data, kSite, sizeof kSite), 0);
    EXPECT(pair_works(tcp_pair()));
    make_many_calls();
  }
}

TEST(function_without_unwind_information) {
  make_many_calls();
  for (int i = 0; i < 20; i++) expect_seen(unlisted_call);
  make_many_calls();
  expect_seen(unlisted_call);
  EXPECT(pair_works(tcp_pair()));
}

TEST(two_ways_to_one_instruction) {
  for (const bool known_before : {true, false}) {
    const pid_t pid = child([&] {
      for (int i = 0; i < 2; i++) {
        if (!known_before) make_many_calls();
        for (int k = 0; k < 20; k++) {
          expect_seen([](long number, long a, long b, long c) {
            return call_in_two_ways(number == SYS_listen ? 0 : number, a, b, c);
          });
          expect_seen(call_in_two_ways);
        }
        if (known_before) make_many_calls();
      }
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(text_that_comes_later) {
  void* (*const ways[])() = {made_by_mmap,          made_by_mprotect, made_by_file,
                             made_by_pkey_mprotect, made_by_shmat,    made_by_personality};
  for (auto* way : ways) {
    const pid_t pid = child([&] {
      make_many_calls();
      const Call call = code_at(way());
      expect_seen(call);
      make_many_calls();
      expect_seen(call);
      EXPECT(pair_works(tcp_pair()));
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(instruction_with_a_prefix) {
  for (int i = 0; i < 2; i++) {
    make_many_calls();
    for (int k = 0; k < 20; k++) expect_seen(prefixed_call);
  }
}

// Whichever call it is at which a hook scans the text.
TEST(text_that_comes_as_the_look_is_due) {
  for (int n = 0; n < 110; n++) {
    const pid_t pid = child([&] {
      OK(munmap(made_by_mmap(), kPage));  // from here on a scan is due again
      for (int i = 0; i < n; i++) fcntl(-1, F_GETFD);
      expect_seen(code_at(made_by_mmap()));
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(text_that_cannot_be_looked_through) {
  const auto in_a_child = [](const std::function<void()>& prepare) {
    const pid_t pid = child([&] {
      expect_seen(unlisted_call);
      OK(munmap(made_by_mmap(), kPage));
      prepare();
      make_many_calls();
      for (int fd = 40; fd < 60; fd++) close(fd);
      expect_seen(unlisted_call);
      expect_seen(prefixed_call);
    });
    EXPECT_EXIT(pid, 0);
  };
  in_a_child([] { OK(chroot(check::scratch())); });  // without /proc
  in_a_child([] {
    const rlimit limit = {64, 64};
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    while (open("/dev/null", O_RDONLY) != -1) {
    }
    EXPECT_EQ(errno, EMFILE);
  });
  in_a_child([] { OK(personality(READ_IMPLIES_EXEC)); });
}

// Executable memory that was taken away may not be given back: the hook must be prepared for that.
TEST(no_executable_memory_afterwards) {
  constexpr int kSetMdwe = 65, kRefuseExecGain = 1;
  for (const bool late : {true, false}) {
    const pid_t pid = child([&] {
      if (late) make_many_calls();
      if (prctl(kSetMdwe, kRefuseExecGain, 0, 0, 0) != 0) return;  // before Linux 6.3
      if (!late) make_many_calls();
      expect_seen(unlisted_call);
      expect_seen(prefixed_call);
      EXPECT(pair_works(tcp_pair()));
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(filter_and_thread_afterwards) {
  make_many_calls();
  // mprotect answers EPERM for executable memory.
  OK(install_code({
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, errno_action(EPERM)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }));
  std::thread([] { expect_seen(unlisted_call); }).join();
  expect_seen(unlisted_call);
  expect_seen(code_at(made_by_mmap()));
  EXPECT(pair_works(tcp_pair()));
}

TEST(text_that_comes_in_a_forked_child) {
  make_many_calls();
  const pid_t pid = child([] {
    expect_seen(code_at(made_by_mprotect()));
    expect_seen(unlisted_call);
  });
  EXPECT_EXIT(pid, 0);
  EXPECT(pair_works(tcp_pair()));
  expect_seen(code_at(made_by_mprotect()));
}

TEST(text_that_a_thread_makes) {
  make_many_calls();
  void* code = nullptr;
  std::thread([&] {
    code = made_by_mmap();
    expect_seen(unlisted_call);
    make_many_calls();
  }).join();
  expect_seen(code_at(code));
  make_many_calls();
  expect_seen(code_at(code));
}

// A process that shares memory, like a child of vfork, but on a stack of its own.
TEST(text_that_a_vfork_child_makes) {
  static void* code;
  const auto body = [](void*) {
    code = made_by_mmap();
    return 0;
  };
  make_many_calls();
  char* stack = static_cast<char*>(
      mmap(nullptr, 64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = OK(clone(body, stack + 64 * kPage, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr));
  EXPECT_EXIT(pid, 0);
  expect_seen(code_at(code));
  EXPECT(pair_works(tcp_pair()));
}

// The text is gone, and other memory is in its place. The answers are what the kernel says.
TEST(memory_in_the_place_of_text) {
  make_many_calls();
  void* page = reinterpret_cast<void*>(reinterpret_cast<uint64_t>(&table_in_text) & ~(kPage - 1));
  EXPECT(mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
              0) == page);
  constexpr int kRet = 0xc3;
  memset(page, kRet, kPage);
  const pid_t pid = child([&] { reinterpret_cast<void (*)()>(page)(); });
  EXPECT_EQ(signal_of(pid), SIGSEGV);
  EXPECT(pair_works(tcp_pair()));
}

// The original bytes of the file are back.
TEST(text_thrown_away) {
  make_many_calls();
  const uint64_t page = reinterpret_cast<uint64_t>(&call_in_two_ways) & ~(kPage - 1);
  EXPECT_EQ(madvise(reinterpret_cast<void*>(page), kPage, MADV_DONTNEED), 0);
  expect_seen(call_in_two_ways);
  make_many_calls();
  expect_seen(call_in_two_ways);
}

TEST(signals_and_children_afterwards) {
  make_many_calls();
  on_signal(SIGUSR1, count_signal);
  for (int i = 0; i < 20; i++) EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(handled, 20);
  EXPECT_EQ(system("exit 7"), 7 << 8);
  const pid_t trapped = child([] { __builtin_trap(); });
  EXPECT_EQ(signal_of(trapped), SIGILL);
  Pair pair = tcp_pair();
  Outcome outcome;
  char byte = 0;
  interrupt_until_done(&outcome, SIGUSR1, [&] { return recv(pair.b, &byte, 1, 0); });
  EXPECT_EQ(outcome.error, EINTR);
}
