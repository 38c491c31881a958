// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/seccomp.h.
#include "hook/calls/seccomp.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/seccomp_front.h"
#include "hook/catch/disarm.h"
#include "hook/catch/entry.h"
#include "hook/device/attach.h"
#include "hook/start/home.h"
#include "hook/state/filters.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

struct Program {  // struct sock_fprog
  u16 count;
  u16 pad[3];
  u64 instructions;
};

// Takes now what the hook may need later, when the filter would refuse it.
void get_ready(ThreadState* ts) {
  if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
  u64 none = 0;
  if (!settings.home)
    __atomic_compare_exchange_n(&settings.home, &none, choose_home(), false, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
}

// Installs `filter` behind a front. Returns the kernel's result.
long install(ThreadState* ts, Filter* filter, long number, u64 a, u64 b, bool all_threads,
             bool makes_fd) {
  rearm();  // while the filter does not forbid it
  const u64 bytes = (kMaxFront + filter->count) * sizeof(sock_filter);
  auto* const code = static_cast<sock_filter*>(map_pages(bytes));
  if (!code) return -ENOMEM;
  get_ready(ts);
  filter->before = ts->filters;
  const u32 front =
      write_front(code, {base(), end_of_text(), ptr(mino_local_syscall)}, settings.home);
  copy(code + front, filter->code(), filter->count * sizeof(sock_filter));
  long result = -EINVAL;
  if (front + filter->count > BPF_MAXINSNS) {
    char text[160];
    char* end = print(text, "mino: a seccomp filter of ");
    end = print(print_number(end, filter->count), " instructions is refused: with mino's own, ");
    end = print(print_number(end, BPF_MAXINSNS), " are too few\n");
    raw(__NR_write, 2, ptr(text), static_cast<u64>(end - text));
  } else {
    const Program program{static_cast<u16>(front + filter->count), {}, ptr(code)};
    result = raw(number, a, b, ptr(&program));
  }
  unmap_pages(code, bytes);
  // With TSYNC, a positive result is the id of a thread that could not be synchronised.
  if (makes_fd ? is_error(result) : result != 0)
    drop_filter(filter);
  else
    add_filter(ts, filter, all_threads);
  return result;
}

// The kernel's strict mode would kill the hook too. Instead this installs a filter with the same
// list of calls; end_strict (hook/catch/strict_mode.h) carries out its verdict.
long do_strict(ThreadState* ts) {
  if (raw(__NR_prctl, PR_GET_SECCOMP) != 0) return kLocal;  // EINVAL: there are filters
  constexpr sock_filter kStrict[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, AUDIT_ARCH_X86_64},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 4, 0, static_cast<u32>(__NR_read)},
      {BPF_JMP | BPF_JEQ | BPF_K, 3, 0, static_cast<u32>(__NR_write)},
      {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, static_cast<u32>(__NR_exit)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, static_cast<u32>(__NR_rt_sigreturn)},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  Filter* const filter = make_filter(sizeof kStrict / sizeof *kStrict);
  if (!filter) return -ENOMEM;
  copy(filter->code(), kStrict, sizeof kStrict);
  raw(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // in strict mode nobody can query it
  ts->strict = true;
  const long result =
      install(ts, filter, __NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, false, false);
  if (is_error(result)) ts->strict = false;
  return result;
}

}  // namespace

// seccomp(operation, flags, filter) and prctl(PR_SET_SECCOMP, mode, filter).
long do_seccomp(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const bool by_prctl = row.nr == __NR_prctl;
  if (by_prctl ? f.rsi == SECCOMP_MODE_STRICT
               : f.rdi == SECCOMP_SET_MODE_STRICT && !f.rsi && !f.rdx)
    return do_strict(ts);
  if (by_prctl ? f.rsi != SECCOMP_MODE_FILTER : f.rdi != SECCOMP_SET_MODE_FILTER) return kLocal;
  Program program{};
  if (!user_read(f.rdx, &program, sizeof program) || program.count == 0 ||
      program.count > BPF_MAXINSNS)
    return kLocal;  // the kernel's error
  Filter* const filter = make_filter(program.count);
  if (!filter) return -ENOMEM;
  if (!user_read(program.instructions, filter->code(), program.count * sizeof(sock_filter))) {
    drop_filter(filter);
    return kLocal;
  }
  return install(ts, filter, row.nr, f.rdi, f.rsi, !by_prctl && (f.rsi & SECCOMP_FILTER_FLAG_TSYNC),
                 !by_prctl && (f.rsi & SECCOMP_FILTER_FLAG_NEW_LISTENER));
}

}  // namespace mino::hook
