// SPDX-License-Identifier: Apache-2.0
//
// Vector and floating-point registers are unchanged by a system call, before, during and after it,
// even while it is blocked and signal handlers run. x86-64 only.

#include <immintrin.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

// Loads every vector register with a pattern, makes a recvfrom call, and stores them all: 32 zmm,
// 16 ymm or 16 xmm registers, depending on the machine; `size` bytes each.
using VectorCall = long (*)(long fd, void* data, const void* in, void* out);

#define ALL_16(move, register, size)                          \
  ".set i, 0\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" \
  "  " move " " size "*\\n(%r12), %" register "\\n\n.endr\n"
#define SAVE_16(move, register, size)              \
  ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" \
  "  " move " %" register "\\n, " size "*\\n(%r13)\n.endr\n"
#define VECTOR_FUNCTION(name, load, save)                                               \
  extern "C" long name(long fd, void* data, const void* in, void* out);                 \
  asm(".text\n.globl " #name "\n.type " #name ", @function\n" #name                     \
      ":\n  push %r12\n  push %r13\n  mov %rdx, %r12\n  mov %rcx, %r13\n" load          \
      "  mov $1, %edx\n  xor %r10d, %r10d\n  xor %r8d, %r8d\n  xor %r9d, %r9d\n"        \
      "  mov $45, %eax\n  syscall\n" save "  pop %r13\n  pop %r12\n  ret\n.size " #name \
      ", .-" #name "\n")

VECTOR_FUNCTION(with_xmm, ALL_16("movups", "xmm", "16"), SAVE_16("movups", "xmm", "16"));
VECTOR_FUNCTION(with_ymm, ALL_16("vmovups", "ymm", "32"),
                SAVE_16("vmovups", "ymm", "32") "  vzeroupper\n");
#define HIGH_16(text) ".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" text "\n.endr\n"
#define MASKS(text) ".irp n,1,2,3,4,5,6,7\n" text "\n.endr\n"
VECTOR_FUNCTION(with_zmm,
                ALL_16("vmovups", "zmm", "64") HIGH_16("  vmovups 64*\\n(%r12), %zmm\\n")
                    MASKS("  kmovw 2*\\n(%r12), %k\\n"),
                SAVE_16("vmovups", "zmm", "64") HIGH_16("  vmovups %zmm\\n, 64*\\n(%r13)")
                    MASKS("  kmovw %k\\n, 2048+2*\\n(%r13)") "  vzeroupper\n");

void expect_vectors_kept(VectorCall call, size_t bytes, size_t mask_bytes = 0) {
  alignas(64) unsigned char in[2048 + 64], out[2048 + 64];
  for (size_t i = 0; i < sizeof in; i++) in[i] = static_cast<unsigned char>(pattern_at(i) + 1);
  Pair pair = tcp_pair();
  char byte = 0;
  auto look = [&] {
    EXPECT(memcmp(in, out, bytes) == 0);
    if (mask_bytes) EXPECT(memcmp(in + 2, out + 2048 + 2, mask_bytes) == 0);
    EXPECT_EQ(byte, 'v');
    byte = 0;
  };
  // With the data there already.
  EXPECT_EQ(write(pair.a, "v", 1), 1);
  EXPECT(readable(pair.b));
  memset(out, 0, sizeof out);
  EXPECT_EQ(call(pair.b, &byte, in, out), 1);
  look();
  // Blocked, while handlers run that use the registers themselves.
  on_signal(
      SIGUSR1,
      [](int) {
        volatile double x = 1.5;
        for (int i = 0; i < 20; i++) x = x * 1.01;
        char local[256];
        memset(local, static_cast<int>(x), sizeof local);
        asm volatile("" : : "r"(local) : "memory");
        handled++;
      },
      SA_RESTART);
  handled = 0;
  memset(out, 0, sizeof out);
  Outcome outcome;
  while_blocked(
      &outcome, [&] { return call(pair.b, &byte, in, out); },
      [&](pthread_t thread) {
        while (handled < 5) {
          pthread_kill(thread, SIGUSR1);
          sleep_ms(5);
        }
        EXPECT_EQ(write(pair.a, "v", 1), 1);
      });
  EXPECT_EQ(outcome.result, 1);
  look();
}

}  // namespace

TEST(vectors_xmm) {
  expect_vectors_kept(with_xmm, 16 * 16);
}

TEST(vectors_ymm) {
  if (__builtin_cpu_supports("avx")) expect_vectors_kept(with_ymm, 16 * 32);
}

TEST(vectors_zmm) {
  if (__builtin_cpu_supports("avx512f")) expect_vectors_kept(with_zmm, 32 * 64, 14);
}

TEST(control_words_and_flags) {
  Pair pair = tcp_pair();
  _mm_setcsr(0x3f80);  // round down
  unsigned short x87 = 0x0f7f;
  asm volatile("fldcw %0" : : "m"(x87));
  asm volatile("fldpi; fld1");
  EXPECT(pair_works(pair));
  double one = 0, pi = 0;
  unsigned short word_now = 0;
  asm volatile("fstpl %0; fstpl %1; fnstcw %2" : "=m"(one), "=m"(pi), "=m"(word_now));
  EXPECT(one == 1.0 && pi > 3.14 && pi < 3.15);
  EXPECT_EQ(word_now, 0x0f7f);
  EXPECT_EQ(_mm_getcsr() & 0xffc0, 0x3f80);
}
