// SPDX-License-Identifier: Apache-2.0
//
// Which calls the front of a filter lets pass, and from which addresses.
#include "hook/calls/seccomp_front.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace mino::hook {
namespace {

constexpr u32 kTheirs = SECCOMP_RET_ERRNO | 1;

class Front {
 public:
  Front(const Text& text, u64 home) {
    count_ = write_front(code_, text, home);
    EXPECT_LE(count_, kMaxFront);
    code_[count_] = {BPF_RET | BPF_K, 0, 0, kTheirs};
  }
  // Whether the front lets a call pass whose instruction ends at `address`.
  bool passes(u64 address, long number, u64 first = 0, u32 arch = AUDIT_ARCH_X86_64,
              u64 second = 0) const {
    const seccomp_data call{static_cast<int>(number), arch, address, {first, second}};
    const u32 verdict = run_bpf(code_, count_ + 1, call);
    EXPECT_TRUE(verdict == kTheirs || verdict == SECCOMP_RET_ALLOW);
    return verdict == SECCOMP_RET_ALLOW;
  }

 private:
  sock_filter code_[kMaxFront + 1];
  u32 count_;
};

void own_calls_from(const Front& front, u64 address) {
  EXPECT_TRUE(front.passes(address, SYS_read)) << std::hex << address;
  EXPECT_TRUE(front.passes(address, SYS_futex_waitv)) << std::hex << address;
  EXPECT_TRUE(front.passes(address, SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH));
  EXPECT_FALSE(front.passes(address, SYS_prctl, PR_SET_SECCOMP));
  EXPECT_TRUE(front.passes(address, SYS_ioctl, 0, AUDIT_ARCH_X86_64, FIONREAD));
  EXPECT_FALSE(front.passes(address, SYS_ioctl, FIONREAD, AUDIT_ARCH_X86_64, TIOCSTI));
  for (long number : {SYS_open, SYS_openat, SYS_socket, SYS_connect, SYS_execve, SYS_clone,
                      SYS_mprotect, SYS_ptrace, SYS_kill})
    EXPECT_FALSE(front.passes(address, number)) << number;
  EXPECT_FALSE(front.passes(address, SYS_read, 0, AUDIT_ARCH_I386));
}

void none_from(const Front& front, u64 address) {
  EXPECT_FALSE(front.passes(address, SYS_read)) << std::hex << address;
  EXPECT_FALSE(front.passes(address, SYS_futex_waitv)) << std::hex << address;
}

// The text at several places, also across a multiple of 4 GiB, and its copy.
TEST(SeccompFront, by_place) {
  constexpr u64 kBytes = 0x18000, kLocal = 0x4321;
  for (u64 begin :
       {0x7f1234567000, 0x7f00ffff0000, 0x7f00fffe8000, 0x7f0100000000, 0x555500001000}) {
    const u64 home = 0x580000000000 | (begin & 0xffffffff);
    const Front front({begin, begin + kBytes, begin + kLocal}, home);
    for (u64 base : {begin, home}) {
      for (u64 at : {u64{0}, u64{2}, u64{0x8000}, u64{0x10000}, kLocal, kLocal + 3, kBytes - 1})
        own_calls_from(front, base + at);
      none_from(front, base + kLocal + 2);
      none_from(front, base - 1);
      none_from(front, base + kBytes);
      none_from(front, base + (1ull << 32) + kLocal);
      none_from(front, base - (2ull << 32) + kLocal);
    }
    none_from(front, 0);
    none_from(front, ~0ull);
  }
}

// A library that is at its home already.
TEST(SeccompFront, at_home) {
  const u64 home = 0x581234567000;
  const Front front({home, home + 0x1000, home + 0x100}, home);
  own_calls_from(front, home + 0x80);
  none_from(front, home + 0x102);
  none_from(front, home + 0x1000);
}

}  // namespace
}  // namespace mino::hook
