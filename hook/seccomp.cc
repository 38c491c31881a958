// SPDX-License-Identifier: Apache-2.0
//
// Programs that put themselves under a seccomp filter. The filter is theirs and is kept; in front
// of it goes a piece that lets the hook's own calls pass, by where they are made and which they
// are: those by which it speaks with the device, none that opens, connects or executes anything.
// The program's calls that stay on the host are made by one instruction, which its filter judges.
#include "hook/dispatch.h"
#include "hook/user.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));
extern const char mino_local_syscall[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {

struct Instruction {  // struct sock_filter
  u16 code;
  u8 if_true, if_false;
  u32 value;
};
struct Filter {  // struct sock_fprog
  u16 count;
  u16 pad[3];
  u64 instructions;
};

constexpr u16 kLoad = 0x20, kJumpEqual = 0x15, kJumpAtLeast = 0x35, kReturn = 0x06;
constexpr u32 kNumberAt = 0, kAddressAt = 8, kAllow = 0x7fff0000;
constexpr u16 kMaxInstructions = 4096;  // BPF_MAXINSNS

constexpr u16 kOwnCalls[] = {
    0,    // read
    1,    // write
    3,    // close
    7,    // poll
    9,    // mmap
    11,   // munmap
    14,   // rt_sigprocmask
    15,   // rt_sigreturn
    24,   // sched_yield
    28,   // madvise
    39,   // getpid
    46,   // sendmsg
    47,   // recvmsg
    54,   // setsockopt
    72,   // fcntl
    79,   // getcwd
    89,   // readlink
    186,  // gettid
    202,  // futex
    228,  // clock_gettime
    232,  // epoll_wait
    233,  // epoll_ctl
    281,  // epoll_pwait
    290,  // eventfd2
    297,  // rt_tgsigqueueinfo
    302,  // prlimit64
    449,  // futex_waitv
};
constexpr u8 kCalls = sizeof kOwnCalls / sizeof *kOwnCalls;
constexpr u8 kFront = 7 + kCalls + 1;

// False if this library straddles a multiple of 4 GiB.
bool write_front(Instruction* to) {
  const u64 begin = ptr(__ehdr_start), end = ptr(etext);
  if (begin >> 32 != end >> 32) return false;
  u8 at = 0;
  const auto put = [&](u16 code, u32 value, u8 if_true, u8 if_false) {
    to[at++] = {code, if_true, if_false, value};
  };
  const auto to_theirs = [&] { return static_cast<u8>(kFront - at - 1); };
  put(kLoad, kAddressAt + 4, 0, 0);
  put(kJumpEqual, static_cast<u32>(begin >> 32), 0, to_theirs());
  put(kLoad, kAddressAt, 0, 0);
  put(kJumpAtLeast, static_cast<u32>(begin), 0, to_theirs());
  put(kJumpAtLeast, static_cast<u32>(end), to_theirs(), 0);
  // The address that a filter sees is that of the next instruction.
  put(kJumpEqual, static_cast<u32>(ptr(mino_local_syscall) + 2), to_theirs(), 0);
  put(kLoad, kNumberAt, 0, 0);
  for (u8 i = 0; i < kCalls; i++) {
    const bool last = i == kCalls - 1;
    put(kJumpEqual, kOwnCalls[i], static_cast<u8>(kCalls - i - 1), last ? 1 : 0);
  }
  put(kReturn, kAllow, 0, 0);
  return at == kFront;
}

}  // namespace

// seccomp(SECCOMP_SET_MODE_FILTER, flags, filter) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, …).
long do_seccomp(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  Filter filter{};
  if (!user_read(f.rdx, &filter, sizeof filter) || filter.count == 0 ||
      filter.count > kMaxInstructions)
    return kLocal;  // the kernel's error
  if (filter.count + kFront > kMaxInstructions) return err::kInval;
  const u64 bytes = (filter.count + u64{kFront}) * sizeof(Instruction);
  auto* const code = static_cast<Instruction*>(map_pages(bytes));
  if (!code) return err::kNoMem;
  long result = kLocal;
  if (user_read(filter.instructions, code + kFront, filter.count * sizeof(Instruction)) &&
      write_front(code)) {
    // What the hook may need of the host later, it takes now.
    if (settings.active && ts->process->session.status == SessionStatus::kNone) ready(ts);
    filter.count = static_cast<u16>(filter.count + kFront);
    filter.instructions = ptr(code);
    result = raw(row.nr, f.rdi, f.rsi, ptr(&filter), f.r10, f.r8);
    if (!is_error(result)) settings.patch = false;  // which opens files and changes memory
  }
  unmap_pages(code, bytes);
  return result;
}

}  // namespace mino::hook
