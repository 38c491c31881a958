// SPDX-License-Identifier: Apache-2.0
//
// Classic BPF as seccomp filters have it: what kernel/seccomp.c:seccomp_check_filter lets through,
// with the results of net/core/filter.c. The kernel has checked a filter before it gets here;
// nothing is read outside it all the same, whatever it contains, and it always ends.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

struct BpfInstruction {  // struct sock_filter
  u16 code;
  u8 if_true, if_false;
  u32 value;
};
static_assert(sizeof(BpfInstruction) == 8);

struct SeccompData {  // struct seccomp_data
  u32 number, arch;
  u64 instruction_pointer;
  u64 args[6];
};
static_assert(sizeof(SeccompData) == 64);

inline constexpr u32 kArchX86_64 = 0xc000003e;  // AUDIT_ARCH_X86_64

// The class in the low three bits; then size and mode, or operation and source.
namespace bpf {
inline constexpr u16 kLoad = 0x20, kLoadConstant = 0x00, kLoadLength = 0x80, kLoadMemory = 0x60,
                     kLoadXConstant = 0x01, kLoadXLength = 0x81, kLoadXMemory = 0x61, kStore = 0x02,
                     kStoreX = 0x03, kReturn = 0x06, kReturnA = 0x16, kAToX = 0x07, kXToA = 0x87,
                     kAdd = 0x04, kSubtract = 0x14, kMultiply = 0x24, kDivide = 0x34, kOr = 0x44,
                     kAnd = 0x54, kShiftLeft = 0x64, kShiftRight = 0x74, kNegate = 0x84,
                     kXor = 0xa4, kJump = 0x05, kJumpEqual = 0x15, kJumpGreater = 0x25,
                     kJumpAtLeast = 0x35, kJumpAny = 0x45, kWithX = 0x08;
}

// What the filter answers. 0, which kills, for one that the kernel would not have taken.
u32 run_bpf(const BpfInstruction* code, u32 count, const SeccompData& data);

// SECCOMP_RET_…: what stands in the upper half of an answer.
inline constexpr u32 kVerdictKillProcess = 0x80000000, kVerdictTrap = 0x00030000,
                     kVerdictErrno = 0x00050000, kVerdictLog = 0x7ffc0000,
                     kVerdictAllow = 0x7fff0000, kVerdictMask = 0xffff0000;

}  // namespace mino::hook
