// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/epoll.h. Threads may be in epoll_wait on the host when another thread makes the
// companion. The kick wakes them: an eventfd that is always readable, registered in the set with a
// value that only the hook knows. It also wakes threads that wait for the set through another
// descriptor table; they find nothing and sleep again.
#include "hook/calls/epoll.h"

#include "hook/base/limits.h"
#include "hook/base/lock.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/dead_files.h"
#include "hook/calls/epoll_inherited.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/epoll_tags.h"
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

// The same in all programs: several of them may have the set, and each may have waiters.
constexpr u64 kKickValue = 0xb6dd6f6e696d8a4f;

u16 waiters(const Process* process, u64 epfd) {
  return __atomic_load_n(&process->epoll_waiters[epfd], __ATOMIC_SEQ_CST);
}

// Wakes the threads of this descriptor table that wait for the set, and waits until none is left.
// The time limit is for threads that were counted and died with their process.
void kick_waiters(ThreadState* ts, u64 epfd) {
  Table* const table = ts->process->table();
  if (!waiters(ts->process, epfd)) return;
  lock_table(table, table->kick_lock);
  if (table->kick_fd < 0) {
    const long fd =
        with_more_numbers([] { return raw(__NR_eventfd2, 1, EFD_NONBLOCK | EFD_CLOEXEC); });
    if (!is_error(fd)) table->kick_fd = make_private(ts->process, static_cast<int>(fd));
  }
  unlock(table->kick_lock);
  constexpr int kYields = 100, kPatience = 1000, kPause = 1;  // ms
  epoll_event event{EPOLLIN, kKickValue};
  raw(__NR_epoll_ctl, epfd, EPOLL_CTL_ADD, static_cast<u64>(table->kick_fd), ptr(&event));
  for (int i = 0; i < kYields && waiters(ts->process, epfd); i++) raw(__NR_sched_yield);
  for (int i = 0; i < kPatience && waiters(ts->process, epfd); i++) raw(__NR_poll, 0, 0, kPause);
  raw(__NR_epoll_ctl, epfd, EPOLL_CTL_DEL, static_cast<u64>(table->kick_fd), ptr(&event));
}

// Whether `fd` is an epoll file. Tries a deletion that cannot succeed; the error tells.
bool is_epoll(const Process* process, u64 fd) {
  if (process->flags(fd) & kEpoll) return true;
  if (process->session().socket < 0) return false;
  epoll_event event{};
  return raw(__NR_epoll_ctl, fd, EPOLL_CTL_DEL, static_cast<u64>(process->session().socket),
             ptr(&event)) == -ENOENT;
}

long make_companion(ThreadState* ts, u64 epfd) {
  Process* process = ts->process;
  if (process->flags(epfd) & kCompanion) return 0;
  if (const long error = ready(ts)) return error;
  if (!is_epoll(process, epfd)) return kLocal;
  const u64 args[6] = {0};
  // If two threads add the first offloaded files at once, one of them makes the companion.
  lock_table(process->table(), process->table()->companion_lock);
  long result = 0;
  if (!(process->flags(epfd) & kCompanion)) {
    // Another process may have the set, and have made the companion.
    const u64 tag = read_tag(ts, epfd);
    result = tag ? offload_op(ts, abi::Op::kImport, tag, 0, static_cast<int>(epfd)) : -EBADF;
    if (result == -EBADF)
      result = offload(ts, *abi::find_row(__NR_epoll_create1), args, static_cast<int>(epfd), 0,
                       kNoCancel);
    if (result >= 0) shadow_begin(process, static_cast<u32>(epfd));
    if (result >= 0)
      process->add_flags(epfd, kEpoll | kCompanion | (tag ? kLocalMembers | kNestedMembers : 0));
  }
  unlock(process->table()->companion_lock);
  if (result < 0) return result;
  // Pairs with the waiter in wait_rounds, which counts itself and then reads the flag.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  kick_waiters(ts, epfd);
  return 0;
}

// Removes the kick from `got` events of the host.
long without_kick(u64 events, long got) {
  if (got <= 0) return got;
  epoll_event event;
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

// A nested set may be ready on both sides, but its registration must give one event. Returns how
// many events of the host remain.
u64 merge_nested(u64 device_events, u64 device_count, u64 host_events_at, u64 host_count) {
  u64 kept = 0;
  for (u64 i = 0; i < host_count; i++) {
    epoll_event event, other;
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
  raw(__NR_clock_gettime, CLOCK_MONOTONIC, ptr(t));
  return t[0] * 1'000'000'000 + t[1];
}

// The timeout of epoll_wait, epoll_pwait or epoll_pwait2 in nanoseconds; negative for ever.
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

// A file that EPOLLONESHOT has disarmed must not be reported when the device dies.
void note_oneshots(const Process* process, u64 epfd, u64 events, u64 count) {
  epoll_event event;
  for (u64 i = 0; i < count; i++) {
    if (user_read(events + i * sizeof event, &event, sizeof event))
      shadow_fired(process, static_cast<u32>(epfd), event);
  }
}

// Waits once for both sides. Events of the device go to the front of the buffer, those of the host
// behind them.
long wait_once(ThreadState* ts, u64 epfd, u64 events, u64 max, i64 timeout_ns) {
  const abi::Row& row = *abi::find_row(__NR_epoll_pwait2);
  const Process* process = ts->process;
  u64 found = 0;
  const bool host_first = ts->flip && (process->flags(epfd) & kLocalMembers);
  ts->flip = false;
  if (host_first) {
    const long got = without_kick(events, raw(__NR_epoll_wait, epfd, events, max, 0));
    if (got < 0) return got;
    found = static_cast<u64>(got);
    if (found == max) return got;
    if (found) timeout_ns = 0;
  }
  const i64 timespec[2] = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  const u64 args[6] = {epfd,        events + found * sizeof(epoll_event),
                       max - found, timeout_ns < 0 ? 0 : ptr(timespec),
                       0,           0};
  pollfd host[3] = {{static_cast<int>(epfd), POLLIN, 0}};
  MixedWait wait{host, 1, !host_first && (process->flags(epfd) & kLocalMembers),
                 static_cast<int>(epfd)};
  wait_mixed(ts, row, args, wait);
  if (device_is_dead(ts) || wait.device < 0) return found ? static_cast<long>(found) : wait.device;
  const u64 from_device = static_cast<u64>(wait.device);
  found += from_device;
  if (from_device && shadow_has_oneshots()) note_oneshots(process, epfd, args[1], from_device);
  if (found == max && (process->flags(epfd) & kLocalMembers)) ts->flip = true;
  if (wait.host_ready && found < max) {
    const u64 at = events + found * sizeof(epoll_event);
    const long got = without_kick(at, raw(__NR_epoll_wait, epfd, at, max - found, 0));
    if (got > 0) {
      found += process->flags(epfd) & kNestedMembers
                   ? merge_nested(events, from_device, at, static_cast<u64>(got))
                   : static_cast<u64>(got);
    }
    if (got < 0 && found == 0) return got;
  }
  if (found == 0 && wait.stopped) return abi::kErestartnohand;
  return static_cast<long>(found);
}

// After the device has died: whether nothing but dead files is among the events.
bool only_dead(u64 events, long count) {
  constexpr u32 kDead = EPOLLERR | EPOLLHUP;
  epoll_event event{};
  for (u64 i = 0; i < static_cast<u64>(count); i++) {
    if (!user_read(events + i * sizeof event, &event, sizeof event) ||
        (event.events & kDead) != kDead)
      return false;
  }
  return true;
}

// Waits until there is an event, the time is over, or a signal has come.
long wait_rounds(ThreadState* ts, u64 epfd, u64 max, i64 timeout_ns) {
  const Frame& f = ts->frame;
  const i64 deadline = timeout_ns > 0 ? now_ns() + timeout_ns : 0;
  for (;;) {
    long result;
    const bool companion = ts->process->flags(epfd) & kCompanion;
    const bool dead = companion && (device_is_dead(ts) || ready(ts) != 0);
    if (dead && device_is_dead(ts)) bury_files(ts);
    if (companion && !dead) learn_members(ts, epfd);
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
        const long kept = without_kick(f.rsi, result);
        if (dead && kept > 0 && only_dead(f.rsi, kept)) slow_down_dead(ts, nullptr, 0);
        if (kept != 0) return kept;
      } else {
        return result;
      }
    } else {
      result = wait_once(ts, epfd, f.rsi, max, timeout_ns);
      if (device_is_dead(ts) && result <= 0) continue;
      if (result != 0) return result;
    }
    if (ts->deferred) {
      // Ready events come before the signal: the kernel, too, checks for them first.
      if (!companion || dead) return abi::kErestartnohand;
      const i64 now[2] = {0, 0};
      result = device_call(ts, __NR_epoll_pwait2, epfd, f.rsi, max, ptr(now));
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

void adopt_epoll_set(ThreadState* ts, u64 epfd) {
  Process* const process = ts->process;
  process->set_flags(epfd, kEpoll | kLocalMembers);
  if (!(settings.families | settings.netlinks) || device_is_dead(ts)) return;
  if (read_tag(ts, epfd)) make_companion(ts, epfd);
  // What other processes have registered is not this one's to report.
  shadow_begin(process, static_cast<u32>(epfd));
}

void send_epoll_set(ThreadState* ts, u64 epfd) {
  share_epoll_set(ts, epfd);
  if (ts->process->flags(epfd) & kCompanion) tag_set(ts, epfd);
}

void share_epoll_set(ThreadState* ts, u64 epfd) {
  Process* process = ts->process;
  if (!(process->flags(epfd) & kEpoll) || !(settings.families | settings.netlinks)) return;
  if (device_is_dead(ts) || make_companion(ts, epfd) != 0) return;
  learn_members(ts, epfd);
  // Local members that come through another descriptor are not noted at this one.
  process->add_flags(epfd, kLocalMembers);
}

void share_epoll_sets(ThreadState* ts, bool inherited_only) {
  const Process* process = ts->process;
  for (u64 fd = 0; fd < process->table()->fd_limit; fd++) {
    if (!(process->flags(fd) & kEpoll)) continue;
    if (inherited_only && raw(__NR_fcntl, fd, F_GETFD) != 0) continue;
    share_epoll_set(ts, fd);
  }
}

long do_epoll_create(ThreadState* ts, const abi::Row& row) {
  return register_local_fd(ts, raw(row.nr, ts->frame.rdi), kEpoll);
}

long do_epoll_ctl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  Process* process = ts->process;
  const u64 epfd = static_cast<u32>(f.rdi), fd = static_cast<u32>(f.rdx);
  const u64 operation = static_cast<u32>(f.rsi);
  const u8 target = process->flags(fd);
  if (target & kPrivate) return -EBADF;
  if (process->offloaded(epfd)) {
    // Not an epoll file. The side that knows the target gives the error.
    if (target & kOffloaded) return offload_frame(ts, row);
    return raw(__NR_epoll_ctl, static_cast<u64>(process->session().socket), f.rsi, f.rdx, f.r10);
  }
  const bool nested = (target & kEpoll) && epfd != fd;
  if (!(target & kOffloaded) && !nested) {
    const long result = raw(__NR_epoll_ctl, f.rdi, f.rsi, f.rdx, f.r10);
    if (result == 0 && operation == EPOLL_CTL_ADD) {
      process->add_flags(epfd, kEpoll | kLocalMembers);
    }
    return result;
  }
  if (nested) {
    // Register it on both sides, so that the outer set sees whatever is added to the inner one
    // later.
    const long local = raw(__NR_epoll_ctl, f.rdi, f.rsi, f.rdx, f.r10);
    if (local != 0) return local;
    if (operation == EPOLL_CTL_ADD)
      process->add_flags(epfd, kEpoll | kLocalMembers | kNestedMembers);
    // Without a companion the set stays local.
    if (make_companion(ts, fd) != 0 || make_companion(ts, epfd) != 0) return 0;
    offload_frame(ts, row);
    return 0;
  }
  if (device_is_dead(ts)) return epoll_ctl_dead(ts);
  if (const long error = make_companion(ts, epfd)) {
    if (error != kLocal) return error;
    return is_error(raw(__NR_fcntl, epfd, F_GETFD)) ? -EBADF : -EINVAL;
  }
  learn_members(ts, epfd);
  const long result = offload_frame(ts, row);
  if (result == 0) {
    epoll_event event{};
    if (operation == EPOLL_CTL_DEL)
      shadow_remove(process, static_cast<u32>(epfd), static_cast<u32>(fd));
    else if (user_read(f.r10, &event, sizeof event)) {
      shadow_set(process, static_cast<u32>(epfd), static_cast<u32>(fd), event);
    }
  }
  // The device may have died before the shadow knew.
  if (device_is_dead(ts)) return epoll_ctl_dead(ts);
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
