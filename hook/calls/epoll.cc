// SPDX-License-Identifier: Apache-2.0
//
// epoll over local and offloaded files. A set is a real epoll file of the host; when the first
// offloaded file is added it gets a companion of the same number on the device, so that level,
// edge, oneshot, exclusive and nested behaviour are Linux's own on either side. A wait asks both
// (hook/device/mixed_wait.h).
//
// Threads may sit in the host's epoll_wait when another makes the companion. The kick, an always
// readable eventfd registered with a value that only we know, fetches them out, and with them
// whoever waits for the set through another table, who looks and sleeps again.
#include "hook/calls/epoll.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/handler.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/mixed_wait.h"
#include "hook/device/sharing.h"
#include "hook/state/interruptible.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

#include <atomic>

namespace mino::hook {

namespace {

constexpr u64 kAdd = 1, kDel = 2;
constexpr u32 kEpollIn = 1;

// The same in all tables and programs: a set may be in several, with a waiter in each.
constexpr u64 kKickValue = 0xb6dd6f6e696d8a4f;

u16 waiters(const Process* process, u64 epfd) {
  return __atomic_load_n(&process->epoll_waiters[epfd], __ATOMIC_SEQ_CST);
}

// Until none of this table's threads sleeps there any more. Those that are counted but died with
// their process are not waited for longer than that.
void fetch_sleepers(ThreadState* ts, u64 epfd) {
  Table* const table = ts->process->table();
  if (!waiters(ts->process, epfd)) return;
  lock_table(table, table->kick_lock);
  if (table->kick_fd < 0) {
    constexpr u64 kNonblockCloexec = 0x80800;
    const long fd = raw(__NR_eventfd2, 1, kNonblockCloexec);
    if (!is_error(fd)) table->kick_fd = make_private(ts->process, static_cast<int>(fd));
  }
  unlock(table->kick_lock);
  constexpr int kYields = 100, kPatience = 1000, kPause = 1;  // ms
  EpollEvent event{kEpollIn, kKickValue};
  raw(__NR_epoll_ctl, epfd, kAdd, static_cast<u64>(table->kick_fd), ptr(&event));
  for (int i = 0; i < kYields && waiters(ts->process, epfd); i++) raw(__NR_sched_yield);
  for (int i = 0; i < kPatience && waiters(ts->process, epfd); i++) raw(__NR_poll, 0, 0, kPause);
  raw(__NR_epoll_ctl, epfd, kDel, static_cast<u64>(table->kick_fd), ptr(&event));
}

// Is `fd` an epoll file? Asks with a deletion that cannot succeed: the answer differs by what fd
// is.
bool is_epoll(const Process* process, u64 fd) {
  if (process->flags(fd) & kEpoll) return true;
  if (process->session().socket < 0) return false;
  EpollEvent event{};
  return raw(__NR_epoll_ctl, fd, kDel, static_cast<u64>(process->session().socket), ptr(&event)) ==
         -ENOENT;
}

long make_companion(ThreadState* ts, u64 epfd) {
  Process* process = ts->process;
  if (process->flags(epfd) & kCompanion) return 0;
  if (const long error = ready(ts)) return error;
  if (!is_epoll(process, epfd)) return kLocal;
  const u64 args[6] = {0};
  // Of two threads with a first socket each, one makes it.
  lock_table(process->table(), process->table()->companion_lock);
  long result = 0;
  if (!(process->flags(epfd) & kCompanion)) {
    result =
        offload(ts, *abi::find_row(__NR_epoll_create1), args, static_cast<int>(epfd), 0, kNoCancel);
    if (result >= 0) process->add_flags(epfd, kEpoll | kCompanion);
  }
  unlock(process->table()->companion_lock);
  if (result < 0) return result;
  // Pairs with the sleeper, which counts itself and then looks at the flag.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  fetch_sleepers(ts, epfd);
  return 0;
}

// Events of the host half, without the kick.
long host_events(u64 events, long got) {
  if (got <= 0) return got;
  EpollEvent event;
  long kept = 0;
  for (long i = 0; i < got; i++) {
    const u64 at = events + static_cast<u64>(i) * sizeof event;
    if (!user_read(at, &event, sizeof event)) return -EFAULT;
    if (event.data == kKickValue) continue;
    if (kept != i) user_write(events + static_cast<u64>(kept) * sizeof event, &event, sizeof event);
    kept++;
  }
  return kept;
}

// A nested set may be ready on both sides: one registration, one event. Answers how many host
// events remain.
u64 merge_nested(u64 device_events, u64 device_count, u64 host_events_at, u64 host_count) {
  u64 kept = 0;
  for (u64 i = 0; i < host_count; i++) {
    EpollEvent event, other;
    if (!user_read(host_events_at + i * sizeof event, &event, sizeof event)) return host_count;
    bool merged = false;
    for (u64 k = 0; k < device_count && !merged; k++) {
      const u64 at = device_events + k * sizeof other;
      if (!user_read(at, &other, sizeof other) || other.data != event.data) continue;
      other.events |= event.events;
      user_write(at, &other, sizeof other);
      merged = true;
    }
    if (!merged) user_write(host_events_at + kept++ * sizeof event, &event, sizeof event);
  }
  return kept;
}

i64 now_ns() {
  i64 t[2];
  raw(__NR_clock_gettime, 1, ptr(t));
  return t[0] * 1'000'000'000 + t[1];
}

// The three waits' timeouts as one: nanoseconds, negative for ever.
long read_timeout(const abi::Row& row, const Frame& f, i64& timeout_ns) {
  if (row.nr != __NR_epoll_pwait2) {
    const int ms = static_cast<int>(f.r10);
    timeout_ns = ms < 0 ? -1 : i64{ms} * 1'000'000;
    return 0;
  }
  timeout_ns = -1;
  if (!f.r10) return 0;
  i64 t[2];
  if (!user_read(f.r10, t, sizeof t)) return -EFAULT;
  if (t[0] < 0 || t[1] < 0 || t[1] >= 1'000'000'000) return -EINVAL;
  timeout_ns = t[0] > 1'000'000'000 ? -1 : t[0] * 1'000'000'000 + t[1];
  return 0;
}

// One round over both halves. Device events go to the front of the buffer, host events behind them.
long wait_once(ThreadState* ts, u64 epfd, u64 events, u64 max, i64 timeout_ns) {
  const abi::Row& row = *abi::find_row(__NR_epoll_pwait2);
  Process* process = ts->process;
  u64 found = 0;
  const bool host_first = ts->flip && (process->flags(epfd) & kLocalMembers);
  ts->flip = false;
  if (host_first) {
    const long got = host_events(events, raw(__NR_epoll_wait, epfd, events, max, 0));
    if (got < 0) return got;
    found = static_cast<u64>(got);
    if (found == max) return got;
    if (found) timeout_ns = 0;
  }
  const i64 timespec[2] = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const u64 args[6] = {epfd,        events + found * sizeof(EpollEvent),
                       max - found, timeout_ns < 0 ? 0 : ptr(timespec),
                       0,           0};
  pollfd host[3] = {{static_cast<int>(epfd), 1, 0}};
  MixedWait wait{host, 1, !host_first && (process->flags(epfd) & kLocalMembers)};
  if (!prepare_bell(ts)) return -ENOMEM;
  offload_start(ts, row, args, abi::kFlagBell);
  wait_mixed(ts, row_index(row), wait);
  if (process->session().status == SessionStatus::kDead || wait.device < 0)
    return found ? static_cast<long>(found) : wait.device;
  const u64 from_device = static_cast<u64>(wait.device);
  found += from_device;
  if (found == max && (process->flags(epfd) & kLocalMembers)) ts->flip = true;
  if (wait.host_ready && found < max) {
    const u64 at = events + found * sizeof(EpollEvent);
    const long got = host_events(at, raw(__NR_epoll_wait, epfd, at, max - found, 0));
    if (got > 0) {
      found += process->flags(epfd) & kNestedMembers
                   ? merge_nested(events, from_device, at, static_cast<u64>(got))
                   : static_cast<u64>(got);
    }
    if (got < 0 && found == 0) return got;
  }
  return static_cast<long>(found);
}

long dead_wait(ThreadState* ts, u64 epfd, u64 events, u64 max) {
  EpollEvent reported[64];
  const u32 count =
      shadow_report(ts->process, static_cast<u32>(epfd), reported, static_cast<u32>(min(max, 64)));
  if (count == 0) return kLocal;
  slow_down_dead(ts);
  return user_write(events, reported, count * sizeof(EpollEvent)) ? static_cast<long>(count)
                                                                  : -EFAULT;
}

// Rounds until there is an event, the time is over, or a signal came.
long wait_rounds(ThreadState* ts, u64 epfd, u64 max, i64 timeout_ns) {
  const Frame& f = ts->frame;
  const i64 deadline = timeout_ns > 0 ? now_ns() + timeout_ns : 0;
  for (;;) {
    long result;
    const bool companion = ts->process->flags(epfd) & kCompanion;
    const bool dead =
        companion && (ts->process->session().status == SessionStatus::kDead || ready(ts) != 0);
    if (dead) {
      result = dead_wait(ts, epfd, f.rsi, max);
      if (result != kLocal) return result;
    }
    if (!companion || dead) {
      const i64 timespec[2] = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
      const u64 args[6] = {epfd, f.rsi, max, timeout_ns < 0 ? 0 : ptr(timespec), 0, 8};
      ts->process->count_waiter(epfd, 1);
      const bool late =
          !dead && (__atomic_load_n(&ts->process->fds[epfd], __ATOMIC_SEQ_CST) & kCompanion);
      result = late ? 0 : mino_interruptible(ts, __NR_epoll_pwait2, args);
      ts->process->count_waiter(epfd, -1);
      if (late) continue;
      if (result == abi::kErestartsys) result = abi::kErestartnohand;
      if (result > 0) {
        const long kept = host_events(f.rsi, result);
        if (kept != 0) return kept;
      } else {
        return result;
      }
    } else {
      result = wait_once(ts, epfd, f.rsi, max, timeout_ns);
      if (ts->process->session().status == SessionStatus::kDead && result <= 0) continue;
      if (result != 0) return result;
    }
    if (ts->deferred) {
      // What is ready counts for more than the signal: the kernel looks before it looks for
      // signals.
      if (!companion || dead) return abi::kErestartnohand;
      const i64 now[2] = {0, 0};
      const u64 args[6] = {epfd, f.rsi, max, ptr(now), 0, 0};
      result = offload(ts, *abi::find_row(__NR_epoll_pwait2), args, -1, 0, kNoCancel);
      return result > 0 ? result : abi::kErestartnohand;
    }
    if (timeout_ns == 0) return 0;
    if (timeout_ns > 0) {
      timeout_ns = deadline - now_ns();
      if (timeout_ns <= 0) return 0;
    }
  }
}

}  // namespace

long do_epoll_create(ThreadState* ts, const abi::Row& row) {
  return made_here(ts, raw(row.nr, ts->frame.rdi), kEpoll);
}

long do_epoll_ctl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  Process* process = ts->process;
  const u64 epfd = static_cast<u32>(f.rdi), fd = static_cast<u32>(f.rdx);
  const u64 operation = static_cast<u32>(f.rsi);
  const u8 target = process->flags(fd);
  if (target & kPrivate) return -EBADF;
  if (process->offloaded(epfd)) {
    // Not an epoll set: the error is the kernel's, from whichever side knows the target.
    if (target & kOffloaded) return offload_frame(ts, row);
    return raw(__NR_epoll_ctl, static_cast<u64>(process->session().socket), f.rsi, f.rdx, f.r10);
  }
  const bool nested = (target & kEpoll) && epfd != fd;
  if (!(target & kOffloaded) && !nested) {
    const long result = raw(__NR_epoll_ctl, f.rdi, f.rsi, f.rdx, f.r10);
    if (result == 0 && operation == kAdd) {
      process->add_flags(epfd, kEpoll | kLocalMembers);
    }
    return result;
  }
  if (nested) {
    // Both sides of both sets, so that whatever joins the inner one later is seen by the outer one.
    const long local = raw(__NR_epoll_ctl, f.rdi, f.rsi, f.rdx, f.r10);
    if (local != 0) return local;
    if (operation == kAdd) process->add_flags(epfd, kEpoll | kLocalMembers | kNestedMembers);
    if (make_companion(ts, fd) != 0 || make_companion(ts, epfd) != 0) return 0;  // stays local
    offload_frame(ts, row);
    return 0;
  }
  if (process->session().status == SessionStatus::kDead) return operation == kDel ? 0 : -ENETDOWN;
  if (const long error = make_companion(ts, epfd)) {
    if (error != kLocal) return error;
    constexpr u64 kFGetFd = 1;
    return is_error(raw(__NR_fcntl, epfd, kFGetFd)) ? -EBADF : -EINVAL;
  }
  const long result = offload_frame(ts, row);
  if (result == 0) {
    EpollEvent event{};
    if (operation == kDel)
      shadow_remove(process, static_cast<u32>(epfd), static_cast<u32>(fd));
    else if (user_read(f.r10, &event, sizeof event)) {
      shadow_set(process, static_cast<u32>(epfd), static_cast<u32>(fd), event);
    }
  }
  return result;
}

long do_epoll_wait(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 epfd = static_cast<u32>(f.rdi);
  const u8 flags = ts->process->flags(epfd);
  const int max = static_cast<int>(f.rdx);
  const bool is_other = ts->process->offloaded(epfd);
  if (!is_other && (!(flags & kEpoll) || max <= 0)) return kLocal;
  const bool has_mask = row.nr == __NR_epoll_pwait || row.nr == __NR_epoll_pwait2;
  i64 timeout_ns;
  if (const long error = read_timeout(row, f, timeout_ns)) return error;
  TemporaryMask mask(ts, has_mask ? f.r8 : 0, f.r9);
  if (mask.error()) return mask.error();
  if (is_other) return -EINVAL;
  return mask.finish(wait_rounds(ts, epfd, static_cast<u64>(max), timeout_ns));
}

}  // namespace mino::hook
