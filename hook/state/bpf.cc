// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/bpf.h.
#include "hook/state/bpf.h"

#include "hook/base/mem.h"

namespace mino::hook {

namespace {

u32 calculate(u16 operation, u32 a, u32 b) {
  switch (operation) {
    case BPF_ALU | BPF_ADD | BPF_K:
      return a + b;
    case BPF_ALU | BPF_SUB | BPF_K:
      return a - b;
    case BPF_ALU | BPF_MUL | BPF_K:
      return a * b;
    case BPF_ALU | BPF_DIV | BPF_K:
      return a / b;
    case BPF_ALU | BPF_OR | BPF_K:
      return a | b;
    case BPF_ALU | BPF_AND | BPF_K:
      return a & b;
    case BPF_ALU | BPF_XOR | BPF_K:
      return a ^ b;
    case BPF_ALU | BPF_LSH | BPF_K:
      return a << (b & 31);
    default:
      return a >> (b & 31);
  }
}

bool compare(u16 operation, u32 a, u32 b) {
  switch (operation) {
    case BPF_JMP | BPF_JEQ | BPF_K:
      return a == b;
    case BPF_JMP | BPF_JGT | BPF_K:
      return a > b;
    case BPF_JMP | BPF_JGE | BPF_K:
      return a >= b;
    default:
      return (a & b) != 0;
  }
}

}  // namespace

u32 run_bpf(const sock_filter* code, u32 count, const seccomp_data& data) {
  u32 a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (u64 at = 0; at < count; at++) {  // jumps only go forward
    const sock_filter& i = code[at];
    const u32 operand = i.code & BPF_X ? x : i.k;
    const u16 operation = i.code & static_cast<u16>(~BPF_X);
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k >= sizeof data || i.k % 4 != 0) return 0;
        copy(&a, reinterpret_cast<const u8*>(&data) + i.k, sizeof a);
        break;
      case BPF_LD | BPF_IMM:
        a = i.k;
        break;
      case BPF_LD | BPF_W | BPF_LEN:
        a = sizeof data;
        break;
      case BPF_LDX | BPF_IMM:
        x = i.k;
        break;
      case BPF_LDX | BPF_W | BPF_LEN:
        x = sizeof data;
        break;
      case BPF_LD | BPF_MEM:
      case BPF_LDX | BPF_MEM:
      case BPF_ST:
      case BPF_STX:
        if (i.k >= BPF_MEMWORDS) return 0;
        if (i.code == (BPF_LD | BPF_MEM))
          a = memory[i.k];
        else if (i.code == (BPF_LDX | BPF_MEM))
          x = memory[i.k];
        else
          memory[i.k] = i.code == BPF_ST ? a : x;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      case BPF_RET | BPF_A:
        return a;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_MISC | BPF_TXA:
        a = x;
        break;
      case BPF_ALU | BPF_NEG:
        a = 0 - a;
        break;
      case BPF_ALU | BPF_DIV | BPF_K:
      case BPF_ALU | BPF_DIV | BPF_X:
        if (operand == 0) return 0;  // as after the kernel's conversion to eBPF
        [[fallthrough]];
      case BPF_ALU | BPF_ADD | BPF_K:
      case BPF_ALU | BPF_ADD | BPF_X:
      case BPF_ALU | BPF_SUB | BPF_K:
      case BPF_ALU | BPF_SUB | BPF_X:
      case BPF_ALU | BPF_MUL | BPF_K:
      case BPF_ALU | BPF_MUL | BPF_X:
      case BPF_ALU | BPF_OR | BPF_K:
      case BPF_ALU | BPF_OR | BPF_X:
      case BPF_ALU | BPF_AND | BPF_K:
      case BPF_ALU | BPF_AND | BPF_X:
      case BPF_ALU | BPF_XOR | BPF_K:
      case BPF_ALU | BPF_XOR | BPF_X:
      case BPF_ALU | BPF_LSH | BPF_K:
      case BPF_ALU | BPF_LSH | BPF_X:
      case BPF_ALU | BPF_RSH | BPF_K:
      case BPF_ALU | BPF_RSH | BPF_X:
        a = calculate(operation, a, operand);
        break;
      case BPF_JMP | BPF_JA:
        at += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
      case BPF_JMP | BPF_JEQ | BPF_X:
      case BPF_JMP | BPF_JGT | BPF_K:
      case BPF_JMP | BPF_JGT | BPF_X:
      case BPF_JMP | BPF_JGE | BPF_K:
      case BPF_JMP | BPF_JGE | BPF_X:
      case BPF_JMP | BPF_JSET | BPF_K:
      case BPF_JMP | BPF_JSET | BPF_X:
        at += compare(operation, a, operand) ? i.jt : i.jf;
        break;
      default:
        return 0;
    }
  }
  return 0;  // it ran past its end
}

}  // namespace mino::hook
