// SPDX-License-Identifier: Apache-2.0
//
// Hard rules of hook/, and the raw system calls it is made of.
//
// This code runs inside somebody else's program, between any two of its instructions. Therefore:
//   - no libc, no malloc, no exceptions, no thread-local storage, no static initialisers;
//   - no vector registers (-mgeneral-regs-only): they hold the application's values across a system
//   call;
//   - no lock is held across a wait, and none that a signal handler could need;
//   - errno is not ours; nothing returns through it;
//   - client memory is touched only through user_read/user_write (hook/base/user.h), which survive bad
//   addresses;
//   - system calls are made only by the instructions in this library's text, which Syscall User
//   Dispatch exempts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mino::hook {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i64 = int64_t;

// A system call on the host kernel; the result is the kernel's (negative errno on failure).
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

inline void pause() {
  asm volatile("pause" ::: "memory");
}

inline u64 cycles() {
  u32 lo, hi;
  asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
  return (u64{hi} << 32) | lo;
}

// Numbers (asm/unistd_64.h), errors and flags that hook/ uses; spelled out because libc's headers
// are not for us.
namespace nr {
inline constexpr long kRead = 0, kWrite = 1, kOpen = 2, kClose = 3, kPoll = 7, kMmap = 9,
                      kMprotect = 10, kMunmap = 11, kRtSigaction = 13, kRtSigprocmask = 14,
                      kRtSigreturn = 15, kPread64 = 17, kPwrite64 = 18, kSelect = 23,
                      kSchedYield = 24, kMadvise = 28, kDup = 32, kDup2 = 33, kGetpid = 39,
                      kSendfile = 40, kSocket = 41, kConnect = 42, kSendto = 44, kRecvfrom = 45,
                      kSendmsg = 46, kRecvmsg = 47, kClone = 56, kFork = 57, kVfork = 58,
                      kExecve = 59, kExit = 60, kFcntl = 72, kGetcwd = 79, kChdir = 80,
                      kFchdir = 81, kReadlink = 89, kArchPrctl = 158, kGettid = 186, kFutex = 202,
                      kClockGettime = 228, kExitGroup = 231, kEpollWait = 232, kEpollCtl = 233,
                      kTgkill = 234, kOpenat = 257, kPselect6 = 270, kPpoll = 271, kSplice = 275,
                      kTee = 276, kEpollPwait = 281, kEventfd2 = 290, kEpollCreate1 = 291,
                      kDup3 = 292, kPipe2 = 293, kRtTgsigqueueinfo = 297, kPrctl = 157,
                      kPrlimit64 = 302, kMemfdCreate = 319, kExecveat = 322, kMembarrier = 324,
                      kCopyFileRange = 326, kClone3 = 435, kCloseRange = 436, kEpollPwait2 = 441,
                      kFutexWaitv = 449, kFtruncate = 77, kLseek = 8, kIoctl = 16,
                      kNewfstatat = 262, kFaccessat2 = 439, kSeccomp = 317;
}

inline constexpr u64 kFdCwd = static_cast<u64>(-100);  // AT_FDCWD

namespace err {
inline constexpr long kPerm = -1, kNoEnt = -2, kSrch = -3, kIntr = -4, kIo = -5, kBadF = -9,
                      kAgain = -11, kNoMem = -12, kAcces = -13, kFault = -14, kExist = -17,
                      kXdev = -18, kNoDev = -19, kNotDir = -20, kInval = -22, kNFile = -23,
                      kMFile = -24, kPipe = -32, kRange = -34, kNameTooLong = -36, kNoSys = -38,
                      kLoop = -40, kNotSock = -88, kAfNoSupport = -97, kNetDown = -100,
                      kConnReset = -104, kNoBufs = -105, kNotConn = -107, kSPipe = -29;
}

// mmap of anonymous memory, zeroed, lazily committed; nullptr when the host has none.
inline void* map_pages(u64 bytes) {
  constexpr u64 kReadWrite = 3, kPrivateAnonNoreserve = 0x4022;
  const long p = raw(nr::kMmap, 0, bytes, kReadWrite, kPrivateAnonNoreserve, ~0ull, 0);
  return is_error(p) ? nullptr : reinterpret_cast<void*>(p);
}
inline void unmap_pages(void* p, u64 bytes) {
  raw(nr::kMunmap, ptr(p), bytes);
}

}  // namespace mino::hook
