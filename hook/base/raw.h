// SPDX-License-Identifier: Apache-2.0
//
// The hard rules of hook/, and the raw system calls that everything in it is made of.
//
// This code runs inside somebody else's program, between any two of its instructions. Therefore:
//   - no libc, no malloc, no exceptions, no thread-local storage, no static initialisers;
//   - no vector registers (-mgeneral-regs-only), which hold the program's values across a call;
//   - no lock is held across a wait, and none that a signal handler could need;
//   - errno belongs to the program; no result is returned through it;
//   - client memory is touched only by user_read/user_write (hook/base/user.h), which survive bad
//     addresses;
//   - system calls are made only by instructions in this library's text, which Syscall User
//     Dispatch exempts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mino::hook {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i64 = int64_t;

// Makes a system call on the host kernel. Returns the kernel's result, a negative errno on failure.
inline long raw(long nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) {
  register u64 r10 asm("r10") = d;
  register u64 r8 asm("r8") = e;
  register u64 r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

inline u64 ptr(const void* p) {
  return reinterpret_cast<u64>(p);
}

inline bool is_error(long result) {
  return static_cast<unsigned long>(result) >= -4095ul;
}

}  // namespace mino::hook
