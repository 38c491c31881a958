// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/seccomp_front.h.
#include "hook/calls/seccomp_front.h"

#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

constexpr u16 kOwnCalls[] = {
    __NR_read,           __NR_write,        __NR_close,
    __NR_fstat,          __NR_poll,         __NR_lseek,
    __NR_mmap,           __NR_munmap,       __NR_rt_sigaction,
    __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_pread64,
    __NR_sched_yield,    __NR_mremap,       __NR_mincore,
    __NR_madvise,        __NR_getpid,       __NR_sendto,
    __NR_sendmsg,        __NR_recvmsg,      __NR_socketpair,
    __NR_setsockopt,     __NR_getsockopt,   __NR_fcntl,
    __NR_getcwd,         __NR_readlink,     __NR_umask,
    __NR_geteuid,        __NR_getgroups,    __NR_getresuid,
    __NR_getresgid,      __NR_capget,       __NR_arch_prctl,
    __NR_gettid,         __NR_statfs,       __NR_fstatfs,
    __NR_fgetxattr,      __NR_futex,        __NR_getdents64,
    __NR_clock_gettime,  __NR_epoll_wait,   __NR_epoll_ctl,
    __NR_tgkill,         __NR_waitid,       __NR_pselect6,
    __NR_ppoll,          __NR_splice,       __NR_tee,
    __NR_epoll_pwait,    __NR_eventfd2,     __NR_epoll_create1,
    __NR_dup3,           __NR_pipe2,        __NR_rt_tgsigqueueinfo,
    __NR_prlimit64,      __NR_getrandom,    __NR_memfd_create,
    __NR_membarrier,     __NR_faccessat2,   __NR_epoll_pwait2,
    __NR_futex_waitv,
};
constexpr u32 kOwnOptions[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_SYSCALL_USER_DISPATCH};  // of prctl
constexpr u32 kOwnRequest = FIONREAD;                                                    // of ioctl
constexpr u32 kCalls = sizeof kOwnCalls / sizeof *kOwnCalls;
constexpr u32 kOptions = sizeof kOwnOptions / sizeof *kOwnOptions;
constexpr u32 kNumberAt = offsetof(seccomp_data, nr), kArchAt = offsetof(seccomp_data, arch),
              kAddressAt = offsetof(seccomp_data, instruction_pointer),
              kFirstAt = offsetof(seccomp_data, args), kSecondAt = kFirstAt + 8;

// Appends instructions. Jump targets are indexes of instructions.
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
  // The text may cross a multiple of 4 GiB. A comparison covers 32 bits, so each piece is tested by
  // itself.
  const u32 pieces = static_cast<u32>((end - 1) >> 32) - upper + 1;
  constexpr u32 kPiece = 7;
  const u32 known = pieces * kPiece + 1, options = known + 6 + kCalls + 1,
            request = options + 1 + kOptions + 1, allow = request + 3, theirs = allow + 1;
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
  // The address that a filter sees is that of the instruction after the syscall, which has two
  // bytes.
  w.test(BPF_JMP | BPF_JEQ | BPF_K, static_cast<u32>(text.local + 2), theirs, w.at() + 1);
  w.load(kArchAt);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, w.at() + 1, theirs);
  w.load(kNumberAt);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, options, w.at() + 1);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, request, w.at() + 1);
  for (const u32 number : kOwnCalls) w.test(BPF_JMP | BPF_JEQ | BPF_K, number, allow, w.at() + 1);
  w.go(theirs);
  w.load(kFirstAt);
  for (const u32 option : kOwnOptions) w.test(BPF_JMP | BPF_JEQ | BPF_K, option, allow, w.at() + 1);
  w.go(theirs);
  w.load(kSecondAt);
  w.test(BPF_JMP | BPF_JEQ | BPF_K, kOwnRequest, allow, w.at() + 1);
  w.go(theirs);
  w.answer(SECCOMP_RET_ALLOW);
  static_assert(2 * kPiece + 1 + 6 + kCalls + 1 + 1 + kOptions + 1 + 3 + 1 <= kMaxFront);
  return w.at();
}

}  // namespace mino::hook
