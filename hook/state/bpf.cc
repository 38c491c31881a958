// SPDX-License-Identifier: Apache-2.0
//
#include "hook/state/bpf.h"

#include "hook/base/mem.h"

namespace mino::hook {

namespace {

constexpr u32 kCells = 16;  // BPF_MEMWORDS

u32 calculate(u16 operation, u32 a, u32 b) {
  switch (operation) {
    case bpf::kAdd:
      return a + b;
    case bpf::kSubtract:
      return a - b;
    case bpf::kMultiply:
      return a * b;
    case bpf::kDivide:
      return a / b;
    case bpf::kOr:
      return a | b;
    case bpf::kAnd:
      return a & b;
    case bpf::kXor:
      return a ^ b;
    case bpf::kShiftLeft:
      return a << (b & 31);
    default:
      return a >> (b & 31);
  }
}

bool compare(u16 operation, u32 a, u32 b) {
  switch (operation) {
    case bpf::kJumpEqual:
      return a == b;
    case bpf::kJumpGreater:
      return a > b;
    case bpf::kJumpAtLeast:
      return a >= b;
    default:
      return (a & b) != 0;
  }
}

}  // namespace

u32 run_bpf(const BpfInstruction* code, u32 count, const SeccompData& data) {
  u32 a = 0, x = 0, memory[kCells] = {};
  for (u64 at = 0; at < count; at++) {  // jumps only lead forward
    const BpfInstruction& i = code[at];
    const u32 operand = i.code & bpf::kWithX ? x : i.value;
    const u16 operation = i.code & static_cast<u16>(~bpf::kWithX);
    switch (i.code) {
      case bpf::kLoad:
        if (i.value >= sizeof data || i.value % 4 != 0) return 0;
        copy(&a, reinterpret_cast<const u8*>(&data) + i.value, sizeof a);
        break;
      case bpf::kLoadConstant:
        a = i.value;
        break;
      case bpf::kLoadLength:
        a = sizeof data;
        break;
      case bpf::kLoadXConstant:
        x = i.value;
        break;
      case bpf::kLoadXLength:
        x = sizeof data;
        break;
      case bpf::kLoadMemory:
      case bpf::kLoadXMemory:
      case bpf::kStore:
      case bpf::kStoreX:
        if (i.value >= kCells) return 0;
        if (i.code == bpf::kLoadMemory)
          a = memory[i.value];
        else if (i.code == bpf::kLoadXMemory)
          x = memory[i.value];
        else
          memory[i.value] = i.code == bpf::kStore ? a : x;
        break;
      case bpf::kReturn:
        return i.value;
      case bpf::kReturnA:
        return a;
      case bpf::kAToX:
        x = a;
        break;
      case bpf::kXToA:
        a = x;
        break;
      case bpf::kNegate:
        a = 0 - a;
        break;
      case bpf::kDivide:
      case bpf::kDivide | bpf::kWithX:
        if (operand == 0) return 0;  // as the kernel's translation of it
        [[fallthrough]];
      case bpf::kAdd:
      case bpf::kAdd | bpf::kWithX:
      case bpf::kSubtract:
      case bpf::kSubtract | bpf::kWithX:
      case bpf::kMultiply:
      case bpf::kMultiply | bpf::kWithX:
      case bpf::kOr:
      case bpf::kOr | bpf::kWithX:
      case bpf::kAnd:
      case bpf::kAnd | bpf::kWithX:
      case bpf::kXor:
      case bpf::kXor | bpf::kWithX:
      case bpf::kShiftLeft:
      case bpf::kShiftLeft | bpf::kWithX:
      case bpf::kShiftRight:
      case bpf::kShiftRight | bpf::kWithX:
        a = calculate(operation, a, operand);
        break;
      case bpf::kJump:
        at += i.value;
        break;
      case bpf::kJumpEqual:
      case bpf::kJumpEqual | bpf::kWithX:
      case bpf::kJumpGreater:
      case bpf::kJumpGreater | bpf::kWithX:
      case bpf::kJumpAtLeast:
      case bpf::kJumpAtLeast | bpf::kWithX:
      case bpf::kJumpAny:
      case bpf::kJumpAny | bpf::kWithX:
        at += compare(operation, a, operand) ? i.if_true : i.if_false;
        break;
      default:
        return 0;
    }
  }
  return 0;  // it ran off its end
}

}  // namespace mino::hook
