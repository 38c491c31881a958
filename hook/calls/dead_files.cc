// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/dead_files.h.
#include "hook/calls/dead_files.h"

#include "hook/base/lock.h"
#include "hook/base/user.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/state/interruptible.h"

namespace mino::hook {

void bury_files(ThreadState* ts) {
  Process* const process = ts->process;
  Table* const table = process->table();
  if (__atomic_load_n(&table->buried, __ATOMIC_ACQUIRE)) return;
  const u64 broken = static_cast<u64>(table->session.broken);
  lock_table(table, table->companion_lock);
  if (!table->buried) {
    TableChange::stop();  // a number that is closed now must not be opened again here
    for (u64 fd = 0; fd < table->fd_limit; fd++) {
      if (!(process->flags(fd) & kOffloaded)) continue;
      const long cloexec = raw(__NR_fcntl, fd, F_GETFD);
      if (!is_error(cloexec)) raw(__NR_dup3, broken, fd, cloexec == FD_CLOEXEC ? O_CLOEXEC : 0);
    }
    TableChange::go_on();
    __atomic_store_n(&table->buried, true, __ATOMIC_RELEASE);
    shadow_register(process);
  }
  unlock(table->companion_lock);
}

long epoll_ctl_dead(ThreadState* ts) {
  bury_files(ts);
  const Frame& f = ts->frame;
  const u64 operation = static_cast<u32>(f.rsi);
  const u32 epfd = static_cast<u32>(f.rdi), fd = static_cast<u32>(f.rdx);
  __atomic_store_n(&ts->process->table()->dead_reports, 0u, __ATOMIC_RELAXED);
  long result = raw(__NR_epoll_ctl, f.rdi, f.rsi, f.rdx, f.r10);
  // A file that EPOLLONESHOT had disarmed when the device died, or that came from another process.
  if (result == -ENOENT && operation == EPOLL_CTL_MOD)
    result = raw(__NR_epoll_ctl, f.rdi, EPOLL_CTL_ADD, f.rdx, f.r10);
  if (result == -ENOENT && operation == EPOLL_CTL_DEL) result = 0;
  if (result != 0) return result;
  epoll_event event{};
  if (operation == EPOLL_CTL_DEL)
    shadow_remove(ts->process, epfd, fd);
  else if (user_read(f.r10, &event, sizeof event))
    shadow_set(ts->process, epfd, fd, event);
  ts->process->add_flags(epfd, kEpoll | kLocalMembers);
  return 0;
}

void slow_down_dead(ThreadState* ts, pollfd* host, u64 count) {
  constexpr u32 kPrompt = 64;
  if (__atomic_fetch_add(&ts->process->table()->dead_reports, 1u, __ATOMIC_RELAXED) < kPrompt)
    return;
  const i64 pause_time[2] = {0, 50'000'000};
  const u64 args[6] = {ptr(host), count, ptr(pause_time), 0, 8, 0};
  mino_interruptible(ts, __NR_ppoll, args);
}

}  // namespace mino::hook
