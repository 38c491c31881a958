// SPDX-License-Identifier: Apache-2.0
//
// Seccomp filters for the tests of this directory.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <vector>

#include "check.h"

constexpr uint32_t errno_action(int code) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(code);
}

struct Rule {
  int number;
  uint32_t action;
};

inline long install_code(std::vector<sock_filter> code, bool by_prctl = false, unsigned flags = 0) {
  sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  return by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
                  : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

// A filter that judges by number alone, installed by prctl or by seccomp.
inline long install(const std::vector<Rule>& rules, uint32_t otherwise, bool by_prctl = false,
                    unsigned flags = 0) {
  std::vector<sock_filter> code{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
  for (const Rule& rule : rules) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(rule.number), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, rule.action));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
  return install_code(code, by_prctl, flags);
}
