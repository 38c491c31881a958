// SPDX-License-Identifier: Apache-2.0
//
#include "hook/calls/seccomp_front.h"

namespace mino::hook {

namespace {

constexpr u16 kOwnCalls[] = {
    0,    // read
    1,    // write
    3,    // close
    5,    // fstat
    7,    // poll
    8,    // lseek
    9,    // mmap
    11,   // munmap
    13,   // rt_sigaction
    14,   // rt_sigprocmask
    15,   // rt_sigreturn
    17,   // pread64
    24,   // sched_yield
    27,   // mincore
    28,   // madvise
    39,   // getpid
    44,   // sendto
    46,   // sendmsg
    47,   // recvmsg
    53,   // socketpair
    54,   // setsockopt
    55,   // getsockopt
    72,   // fcntl
    79,   // getcwd
    89,   // readlink
    107,  // geteuid
    118,  // getresuid
    120,  // getresgid
    125,  // capget
    158,  // arch_prctl
    186,  // gettid
    193,  // fgetxattr
    202,  // futex
    217,  // getdents64
    228,  // clock_gettime
    232,  // epoll_wait
    233,  // epoll_ctl
    234,  // tgkill
    271,  // ppoll
    276,  // tee
    281,  // epoll_pwait
    290,  // eventfd2
    292,  // dup3
    293,  // pipe2
    297,  // rt_tgsigqueueinfo
    302,  // prlimit64
    319,  // memfd_create
    324,  // membarrier
    439,  // faccessat2
    441,  // epoll_pwait2
    449,  // futex_waitv
};
constexpr u32 kPrctl = 157;
constexpr u32 kOwnOptions[] = {15, 16, 59};  // PR_SET_NAME, PR_GET_NAME, SYSCALL_USER_DISPATCH
constexpr u32 kCalls = sizeof kOwnCalls / sizeof *kOwnCalls;
constexpr u32 kOptions = sizeof kOwnOptions / sizeof *kOwnOptions;
constexpr u32 kNumberAt = 0, kArchAt = 4, kAddressAt = 8, kFirstAt = 16;

// Puts instructions one after the other; jumps are to places counted from the first.
class Writer {
 public:
  explicit Writer(sock_filter* to) : to_(to) {}
  u32 at() const { return at_; }
  void load(u32 from) { to_[at_++] = {BPF_LD | BPF_W | BPF_ABS, 0, 0, from}; }
  void answer(u32 verdict) { to_[at_++] = {BPF_RET | BPF_K, 0, 0, verdict}; }
  void go(u32 place) {
    to_[at_] = {BPF_JMP | BPF_JA, 0, 0, place - at_ - 1};
    at_++;
  }
  void test(u16 code, u32 value, u32 if_true, u32 if_false) {
    to_[at_] = {code, distance(if_true), distance(if_false), value};
    at_++;
  }

 private:
  u8 distance(u32 place) const { return static_cast<u8>(place - at_ - 1); }
  sock_filter* to_;
  u32 at_ = 0;
};

}  // namespace

u32 write_front(sock_filter* to, const Text& text, u64 home) {
  Writer w(to);
  const u64 begin = text.begin, end = text.end;
  const u32 upper = static_cast<u32>(begin >> 32), home_upper = static_cast<u32>(home >> 32);
  // The text may lie across a multiple of 4 GiB.
  const u32 pieces = static_cast<u32>((end - 1) >> 32) - upper + 1;
  constexpr u32 kPiece = 7;
  const u32 known = pieces * kPiece + 1, options = known + 5 + kCalls + 1,
            allow = options + 1 + kOptions + 1, theirs = allow + 1;
  for (u32 i = 0; i < pieces; i++) {
    const u32 here = w.at(), next = here + kPiece;
    const bool last = i == pieces - 1;
    w.load(kAddressAt + 4);
    w.test(BPF_JMP | BPF_JEQ | BPF_K, upper + i, here + 3, here + 2);
    w.test(BPF_JMP | BPF_JEQ | BPF_K, home_upper + i, here + 3, next);
    w.load(kAddressAt);
    w.test(BPF_JMP | BPF_JGE | BPF_K, i == 0 ? static_cast<u32>(begin) : 0, here + 5, next);
    w.test(BPF_JMP | BPF_JGT | BPF_K, last ? static_cast<u32>(end - 1) : ~0u, next, here + 6);
    w.go(known);
  }
  w.go(theirs);
  // The address that a filter sees is that of the next instruction.
  w.test(BPF_JMP | BPF_JEQ | BPF_K, static_cast<u32>(text.local + 2), theirs, w.at() + 1);
  w.load(kArchAt);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, w.at() + 1, theirs);
  w.load(kNumberAt);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, kPrctl, options, w.at() + 1);
  for (const u32 number : kOwnCalls) w.test(BPF_JMP | BPF_JEQ | BPF_K, number, allow, w.at() + 1);
  w.go(theirs);
  w.load(kFirstAt);
  for (const u32 option : kOwnOptions) w.test(BPF_JMP | BPF_JEQ | BPF_K, option, allow, w.at() + 1);
  w.go(theirs);
  w.answer(SECCOMP_RET_ALLOW);
  static_assert(2 * kPiece + 1 + 5 + kCalls + 1 + 1 + kOptions + 1 + 1 <= kMaxFront);
  return w.at();
}

}  // namespace mino::hook
