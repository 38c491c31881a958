// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/table.h.
#include "hook/state/table.h"

#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

u32 TableChange::changes, TableChange::moving;

namespace {

// A zombie counts as dead; only its parent can tell.
bool is_dead(u32 pid) {
  siginfo_t info{};
  return raw(__NR_tgkill, pid, pid, 0) == -ESRCH ||
         (raw(__NR_waitid, P_PID, pid, ptr(&info), WEXITED | WNOHANG | WNOWAIT | __WALL, 0) == 0 &&
          info.si_pid != 0);
}

}  // namespace

void lock_table(const Table* table, u32& word) {
  if (!table->shared) return lock(word);
  constexpr u32 kPatience = 10'000;  // attempts before it checks the holder
  const u32 self = static_cast<u32>(raw(__NR_getpid));
  for (u32 looks = 1;; looks++) {
    u32 holder = 0;
    const auto take = [&] {
      return __atomic_compare_exchange_n(&word, &holder, self, false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED);
    };
    if (take()) return;
    if (looks % kPatience == 0 && holder != self && is_dead(holder) && take()) return;
    raw(__NR_sched_yield);
  }
}

void reset_table(Table* table) {
  table->fork_lock = table->kick_lock = table->companion_lock = 0;
  table->clients = 0;
  table->shared = table->mapped = false;
}

void copy_table(Table* to, const Table* from) {
  copy(to, from, sizeof *to);
  copy(reinterpret_cast<u8*>(to) + kTableHead, reinterpret_cast<const u8*>(from) + kTableHead,
       from->fd_limit);
  reset_table(to);
}

void session_died(Session& session) {
  __atomic_store_n(reinterpret_cast<u32*>(&session.status), static_cast<u32>(SessionStatus::kDead),
                   __ATOMIC_RELEASE);
}

}  // namespace mino::hook
