// SPDX-License-Identifier: Apache-2.0
//
// Tests the interpreter of seccomp filters against expected results, against this machine's kernel
// (a child under the same filter makes a harmless call), and with filters that no kernel would
// accept.
#include "hook/state/bpf.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <vector>

namespace mino::hook {
namespace {

using Program = std::vector<sock_filter>;

constexpr u16 kAll[] = {
    BPF_LD | BPF_W | BPF_ABS,
    BPF_LD | BPF_IMM,
    BPF_LD | BPF_W | BPF_LEN,
    BPF_LD | BPF_MEM,
    BPF_LDX | BPF_IMM,
    BPF_LDX | BPF_W | BPF_LEN,
    BPF_LDX | BPF_MEM,
    BPF_ST,
    BPF_STX,
    BPF_MISC | BPF_TAX,
    BPF_MISC | BPF_TXA,
    BPF_ALU | BPF_NEG,
    BPF_ALU | BPF_ADD | BPF_K,
    BPF_ALU | BPF_SUB | BPF_K,
    BPF_ALU | BPF_MUL | BPF_K,
    BPF_ALU | BPF_DIV | BPF_K,
    BPF_ALU | BPF_OR | BPF_K,
    BPF_ALU | BPF_AND | BPF_K,
    BPF_ALU | BPF_XOR | BPF_K,
    BPF_ALU | BPF_LSH | BPF_K,
    BPF_ALU | BPF_RSH | BPF_K,
    BPF_JMP | BPF_JA,
    BPF_JMP | BPF_JEQ | BPF_K,
    BPF_JMP | BPF_JGT | BPF_K,
    BPF_JMP | BPF_JGE | BPF_K,
    BPF_JMP | BPF_JSET | BPF_K,
};

bool takes_x(u16 code) {
  return (code & 7) == BPF_ALU ? code != (BPF_ALU | BPF_NEG)
                               : (code & 7) == BPF_JMP && code != (BPF_JMP | BPF_JA);
}

u32 run(const Program& program, const seccomp_data& data) {
  return run_bpf(program.data(), static_cast<u32>(program.size()), data);
}

seccomp_data some_data() {
  seccomp_data data{SYS_getppid, AUDIT_ARCH_X86_64, 0x123456789a, {}};
  for (u64 i = 0; i < 6; i++) data.args[i] = (0x1111222233334444 + i) * (i + 1);
  return data;
}

TEST(Bpf, every_word_of_the_call) {
  const seccomp_data data = some_data();
  for (u32 at = 0; at < sizeof data; at += 4) {
    u32 expected;
    memcpy(&expected, reinterpret_cast<const char*>(&data) + at, 4);
    EXPECT_EQ(run({{BPF_LD | BPF_W | BPF_ABS, 0, 0, at}, {BPF_RET | BPF_A, 0, 0, 0}}, data),
              expected);
  }
}

TEST(Bpf, arithmetic) {
  const auto with = [](u16 code, u32 a, u32 b) {
    const u32 by_value = run(
        {{BPF_LD | BPF_IMM, 0, 0, a}, {code, 0, 0, b}, {BPF_RET | BPF_A, 0, 0, 0}}, some_data());
    EXPECT_EQ(run({{BPF_LDX | BPF_IMM, 0, 0, b},
                   {BPF_LD | BPF_IMM, 0, 0, a},
                   {static_cast<u16>(code | BPF_X), 0, 0, 0},
                   {BPF_RET | BPF_A, 0, 0, 0}},
                  some_data()),
              by_value);
    return by_value;
  };
  EXPECT_EQ(with(BPF_ALU | BPF_ADD | BPF_K, 0xffffffff, 2), 1u);
  EXPECT_EQ(with(BPF_ALU | BPF_SUB | BPF_K, 1, 2), 0xffffffffu);
  EXPECT_EQ(with(BPF_ALU | BPF_MUL | BPF_K, 0x10001, 0x10001), 0x20001u);
  EXPECT_EQ(with(BPF_ALU | BPF_DIV | BPF_K, 0xfffffffe, 2), 0x7fffffffu);
  EXPECT_EQ(with(BPF_ALU | BPF_DIV | BPF_K, 5, 0), 0u);
  EXPECT_EQ(with(BPF_ALU | BPF_OR | BPF_K, 0xf0, 0x0f), 0xffu);
  EXPECT_EQ(with(BPF_ALU | BPF_AND | BPF_K, 0xf0, 0x30), 0x30u);
  EXPECT_EQ(with(BPF_ALU | BPF_XOR | BPF_K, 0xf0, 0x30), 0xc0u);
  EXPECT_EQ(with(BPF_ALU | BPF_LSH | BPF_K, 3, 31), 0x80000000u);
  EXPECT_EQ(with(BPF_ALU | BPF_RSH | BPF_K, 0x80000000, 31), 1u);
  EXPECT_EQ(run({{BPF_LD | BPF_W | BPF_LEN, 0, 0, 0},
                 {BPF_ALU | BPF_NEG, 0, 0, 0},
                 {BPF_RET | BPF_A, 0, 0, 0}},
                some_data()),
            static_cast<u32>(-64));
}

TEST(Bpf, what_no_kernel_takes_kills) {
  const seccomp_data data = some_data();
  EXPECT_EQ(run({}, data), 0u);
  EXPECT_EQ(
      run({{BPF_LD | BPF_W | BPF_ABS, 0, 0, 64}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
      0u);
  EXPECT_EQ(run({{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0xfffffffc},
                 {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}},
                data),
            0u);
  EXPECT_EQ(
      run({{BPF_LD | BPF_W | BPF_ABS, 0, 0, 2}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
      0u);
  EXPECT_EQ(run({{BPF_ST, 0, 0, 16}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data), 0u);
  EXPECT_EQ(run({{BPF_LDX | BPF_MEM, 0, 0, ~0u}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
            0u);
  EXPECT_EQ(run({{BPF_JMP | BPF_JA, 0, 0, ~0u}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
            0u);
  EXPECT_EQ(
      run({{BPF_JMP | BPF_JEQ | BPF_K, 255, 255, 0}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}},
          data),
      0u);
  EXPECT_EQ(run({{BPF_ALU | BPF_MOD, 0, 0, 3}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
            0u);
  EXPECT_EQ(
      run({{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, data),
      0u);
  EXPECT_EQ(run({{BPF_LD | BPF_IMM, 0, 0, SECCOMP_RET_ALLOW}}, data), 0u);
}

// Arbitrary bytes, placed right at the end of a mapping.
TEST(Bpf, any_bytes) {
  const long page = sysconf(_SC_PAGESIZE);
  auto* const pages =
      static_cast<u8*>(mmap(nullptr, static_cast<size_t>(2 * page), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  ASSERT_EQ(mprotect(pages + page, static_cast<size_t>(page), PROT_NONE), 0);
  std::mt19937 random(1);
  for (int round = 0; round < 20000; round++) {
    const u32 count = random() % 16;
    auto* const code = reinterpret_cast<sock_filter*>(pages + page) - count;
    for (u32 i = 0; i < count; i++) {
      const u16 code_word =
          random() % 4 ? kAll[random() % std::size(kAll)] : static_cast<u16>(random());
      code[i] = {code_word, static_cast<u8>(random() % 4), static_cast<u8>(random()),
                 random() % 2 ? static_cast<u32>(random() % 70) : static_cast<u32>(random())};
    }
    run_bpf(code, count, some_data());
  }
  munmap(pages, static_cast<size_t>(2 * page));
}

// A filter that the kernel accepts. It leaves its result in A.
Program random_program(std::mt19937& random) {
  Program program;
  for (u32 cell = 0; cell < 16; cell++) {
    program.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<u32>(random() % 16 * 4)});
    program.push_back({BPF_MISC | BPF_TAX, 0, 0, 0});
    program.push_back({static_cast<u16>(random() % 2 ? BPF_ST : BPF_STX), 0, 0, cell});
  }
  const u32 count = 1 + static_cast<u32>(random()) % 40;
  for (u32 i = 0; i < count; i++) {
    u16 code = kAll[random() % std::size(kAll)];
    u32 value = random() % 2 ? static_cast<u32>(random()) : static_cast<u32>(random() % 8);
    const u32 room = count - i;  // how many instructions a jump can skip
    if (code == (BPF_LD | BPF_W | BPF_ABS)) value = random() % 16 * 4;
    if (code == (BPF_LD | BPF_MEM) || code == (BPF_LDX | BPF_MEM) || code == BPF_ST ||
        code == BPF_STX)
      value = random() % 16;
    if (code == (BPF_ALU | BPF_DIV | BPF_K) && value == 0) value = 1;
    if (code == (BPF_ALU | BPF_LSH | BPF_K) || code == (BPF_ALU | BPF_RSH | BPF_K)) value %= 32;
    if (code == (BPF_JMP | BPF_JA)) value = static_cast<u32>(random()) % room;
    if (takes_x(code) && random() % 2) code |= BPF_X;
    program.push_back(
        {code, static_cast<u8>(random() % room), static_cast<u8>(random() % room), value});
  }
  return program;
}

// Makes the filter return eleven bits of A as an errno; the sixth argument of the call says which.
void answer_by_errno(Program& program) {
  program.push_back({BPF_ST, 0, 0, 0});
  program.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 56});
  program.push_back({BPF_MISC | BPF_TAX, 0, 0, 0});
  program.push_back({BPF_LD | BPF_MEM, 0, 0, 0});
  program.push_back({BPF_ALU | BPF_RSH | BPF_X, 0, 0, 0});
  program.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x7ff});
  program.push_back({BPF_ALU | BPF_OR | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 0x800});
  program.push_back({BPF_RET | BPF_A, 0, 0, 0});
}

__attribute__((noinline)) long ask(seccomp_data& data) {
  const u64 number = static_cast<u64>(data.nr), first = data.args[0], second = data.args[1],
            third = data.args[2], fourth = data.args[3], fifth = data.args[4], sixth = data.args[5];
  register u64 r10 asm("r10") = fourth;  // no function calls from here on
  register u64 r8 asm("r8") = fifth;
  register u64 r9 asm("r9") = sixth;
  long result;
  u64 address;
  asm volatile("lea 1f(%%rip), %1\n\tsyscall\n1:"
               : "=a"(result), "=&b"(address)
               : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  data.instruction_pointer = address;
  return result;
}

// Runs in a child: asks the kernel and compares. Returns 0 if the results agree, 1 if not, 2 if the
// kernel refused the filter. `to_be_killed` is set if the next question must end the child.
int compare_with_kernel(const Program& program, seccomp_data data, bool* to_be_killed) {
  Program all{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},  // allows all other calls of the child
              {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, static_cast<u32>(data.nr)},
              {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  all.insert(all.end(), program.begin(), program.end());
  sock_fprog filter{static_cast<unsigned short>(all.size()), all.data()};
  ask(data);  // learns the address of the instruction
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    return 2;
  for (u64 shift : {0, 11, 22}) {
    data.args[5] = data.args[5] >> 8 << 8 | shift;
    const u32 verdict = run(program, data);
    *to_be_killed = verdict == 0;
    const long result = ask(data);
    if ((verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO ||
        -result != static_cast<long>(verdict & 0xfff))
      return 1;
  }
  return 0;
}

TEST(Bpf, as_the_kernel_does) {
  auto* const to_be_killed = static_cast<bool*>(
      mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(to_be_killed, MAP_FAILED);
  std::mt19937 random(2);
  int killed = 0;
  for (int round = 0; round < 400; round++) {
    Program program = random_program(random);
    answer_by_errno(program);
    seccomp_data data = some_data();
    for (auto& arg : data.args)
      arg = random() % 3 ? u64{random()} << 32 | random() : u64{random() % 4};
    *to_be_killed = false;
    // Not fork(): a sanitizer would start a thread in the child, which would outlive the killed
    // one.
    const pid_t child = static_cast<pid_t>(syscall(SYS_fork));
    ASSERT_GE(child, 0);
    if (child == 0) _exit(compare_with_kernel(program, data, to_be_killed));
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "no seccomp filters here";
    ASSERT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, *to_be_killed ? SIGSYS : 0)
        << "round " << round;
    if (*to_be_killed)  // by a division by zero
      killed++;
    else
      ASSERT_EQ(status, 0) << "round " << round;
  }
  EXPECT_GT(killed, 0);
  EXPECT_LT(killed, 100);
  munmap(to_be_killed, 1);
}

}  // namespace
}  // namespace mino::hook
