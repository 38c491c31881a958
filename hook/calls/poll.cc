// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/poll.h.
#include "hook/calls/poll.h"

#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/dead_files.h"
#include "hook/calls/handler.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/host_poll.h"
#include "hook/device/mixed_wait.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

// The poll entries of one call, in three arrays: as the program wants them, what the device watches
// and what the host watches. They are on the hook's stack, or mapped if they are long.
class Entries {
 public:
  explicit Entries(u64 count) : count_(count), bytes_((count + 2) * 3 * sizeof(pollfd)) {
    if (count + 2 > kInline) mapped_ = static_cast<pollfd*>(map_pages(bytes_));
  }
  ~Entries() {
    if (mapped_) unmap_pages(mapped_, bytes_);
  }
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;
  bool valid() const { return mapped_ || count_ + 2 <= kInline; }
  u64 count() const { return count_; }
  pollfd* wanted() { return mapped_ ? mapped_ : inline_; }
  pollfd* device() { return wanted() + (mapped_ ? count_ + 2 : kInline); }
  pollfd* host() { return device() + (mapped_ ? count_ + 2 : kInline); }
  short revents(u64 i) { return static_cast<short>(device()[i].revents | host()[i].revents); }

 private:
  static constexpr u64 kInline = 514;
  u64 count_, bytes_;
  pollfd inline_[3 * kInline];
  pollfd* mapped_ = nullptr;
};

struct Sides {
  bool device, host;  // which of them have anything to watch
};

u8 flags_of(const Process* process, const pollfd& entry) {
  return entry.fd < 0 ? u8{0} : process->flags(static_cast<u32>(entry.fd));
}

// Splits the entries into what the device and what the host watches. An epoll set with a companion
// is watched on both.
Sides split(const Process* process, Entries& entries) {
  Sides sides{};
  for (u64 i = 0; i < entries.count(); i++) {
    const pollfd& wanted = entries.wanted()[i];
    const u8 flags = flags_of(process, wanted);
    entries.host()[i] = {flags & kOffloaded ? -1 : wanted.fd, wanted.events, 0};
    entries.device()[i] = {on_device(flags) ? wanted.fd : -1, wanted.events, 0};
    sides.device |= entries.device()[i].fd >= 0;
    sides.host |= entries.host()[i].fd >= 0;
  }
  return sides;
}

// Whether another thread has put other files at the numbers since split().
bool replaced(const Process* process, Entries& entries) {
  for (u64 i = 0; i < entries.count(); i++) {
    const u8 flags = flags_of(process, entries.wanted()[i]);
    const bool host = entries.host()[i].fd >= 0, device = entries.device()[i].fd >= 0;
    if (entries.wanted()[i].fd >= 0 &&
        (host == bool(flags & kOffloaded) || device != on_device(flags)))
      return true;
  }
  return false;
}

// The host watches everything, also the numbers of offloaded files.
void give_to_host(Entries& entries) {
  for (u64 i = 0; i < entries.count(); i++) {
    entries.device()[i].revents = 0;
    entries.host()[i] = entries.wanted()[i];
  }
}

bool is_over(const TimeSpec* timeout) {
  return timeout && timeout->seconds == 0 && timeout->nanoseconds == 0;
}

long wait_on_host(ThreadState* ts, Entries& entries, TimeSpec* timeout) {
  for (;;) {
    const long result = poll_host(ts, entries.host(), entries.count(), timeout);
    if (result != 0 || is_over(timeout)) return result;
  }
}

// The device has died: its files are broken sockets on the host.
long wait_for_dead(ThreadState* ts, Entries& entries, TimeSpec* timeout) {
  bury_files(ts);
  give_to_host(entries);
  return wait_on_host(ts, entries, timeout);
}

// What files report that no lane can ask for.
void show_dead(Entries& entries) {
  for (u64 i = 0; i < entries.count(); i++) {
    pollfd& entry = entries.device()[i];
    constexpr short kAll = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    if (entry.fd >= 0)
      entry.revents = static_cast<short>((entry.events & kAll) | POLLERR | POLLHUP);
  }
}

// Checks both sides without waiting: 0, or more than 0 if something is ready.
long look_once(ThreadState* ts, Entries& entries, Sides sides) {
  long found = 0;
  const TimeSpec now{};
  if (sides.device)
    found = device_call(ts, __NR_ppoll, ptr(entries.device()), entries.count(), ptr(&now));
  const long on_host = sides.host ? poll_host_now(entries.host(), entries.count()) : 0;
  return found > 0 ? found : on_host;
}

// Waits for both sides: 0 or more, or a restart code after a signal. Afterwards the arrays hold
// revents, and `timeout` (nullptr: for ever) holds what is left of it.
long wait_once(ThreadState* ts, Entries& entries, Sides sides, TimeSpec* timeout) {
  if (!sides.device) return wait_on_host(ts, entries, timeout);
  const abi::Row& row = *abi::find_row(__NR_ppoll);
  const u64 args[6] = {ptr(entries.device()), entries.count(), ptr(timeout), 0, 0, 0};
  const long error = ready(ts);
  if (error && !device_is_dead(ts)) {
    show_dead(entries);
    if (sides.host) poll_host_now(entries.host(), entries.count());
    return 1;
  }
  long result;
  if (error) {
    if (replaced(ts->process, entries)) split(ts->process, entries);
    slow_down_dead(ts, entries.host(), entries.count());
    return wait_for_dead(ts, entries, timeout);
  }
  if (!sides.host) {
    result = offload(ts, row, args);
  } else {
    MixedWait wait{entries.host(), static_cast<u32>(entries.count()), true};
    wait_mixed(ts, row, args, wait);
    result = wait.device;
    // Poll all of the host's entries at the end, even if the device was ready first.
    if (!wait.host_ready) wait.host_ready = poll_host_now(wait.host, entries.count()) > 0;
    if (result == 0 && wait.host_ready) result = 1;
    if (result == 0 && ts->deferred) result = abi::kErestartnohand;
  }
  if (device_is_dead(ts)) return wait_for_dead(ts, entries, timeout);
  if (result == abi::kErestartnohand) {
    // Ready files come before the signal: the kernel, too, checks for them first.
    if (const long found = look_once(ts, entries, sides); found > 0) result = found;
  }
  return result;
}

// Waits. When Linux wakes, it looks at what the numbers mean then.
long wait_both(ThreadState* ts, Entries& entries, Sides sides, TimeSpec* timeout) {
  for (;;) {
    const long result = wait_once(ts, entries, sides, timeout);
    if (result == 0 && ts->turn_over && !ts->deferred && !is_over(timeout)) continue;
    if (device_is_dead(ts) || !replaced(ts->process, entries)) return result;
    sides = split(ts->process, entries);
    const long found = look_once(ts, entries, sides);
    if (found > 0) return found;
    if (result < 0 || is_over(timeout)) return result < 0 ? result : 0;
  }
}

}  // namespace

long do_poll(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 count = static_cast<u32>(f.rsi);
  if (ts->process->table()->fd_limit == 0 || count == 0 || count > abi::kMaxFd) return kLocal;
  if (count > ts->process->open_limit) learn_open_limit(ts->process);  // others may change it
  if (count > ts->process->open_limit) return -EINVAL;
  Entries entries(count);
  if (!entries.valid()) return -ENOMEM;
  if (!user_read(f.rdi, entries.wanted(), count * sizeof(pollfd)))
    return kLocal;  // the kernel's EFAULT
  const Sides sides = split(ts->process, entries);
  if (!sides.device) return kLocal;
  TimeSpec timeout{};
  TimeSpec* limit = &timeout;
  const bool is_ppoll = row.nr == __NR_ppoll;
  if (is_ppoll) {
    if (!f.rdx)
      limit = nullptr;
    else if (!user_read(f.rdx, &timeout, sizeof timeout))
      return -EFAULT;
  } else {
    const int ms = static_cast<int>(f.rdx);
    if (ms < 0) limit = nullptr;
    timeout = {ms / 1000, i64{ms % 1000} * 1'000'000};
  }
  TemporaryMask mask(ts, is_ppoll ? f.r10 : 0, f.r8);
  if (mask.error()) return mask.error();
  const long result = mask.finish(wait_both(ts, entries, sides, limit));
  if (result < 0) return result;
  long ready_count = 0;
  for (u64 i = 0; i < count; i++) {
    const short revents = entries.revents(i);
    if (revents) ready_count++;
    if (!user_write(f.rdi + i * sizeof(pollfd) + 6, &revents, 2)) return -EFAULT;
  }
  if (is_ppoll && f.rdx) user_write(f.rdx, &timeout, sizeof timeout);
  return ready_count;
}

namespace {

struct FdSets {
  u64 words;   // of 64 bits in each set
  u64* in[3];  // read, write, except; nullptr if absent
  u64* memory;
  u64 bytes;
  ~FdSets() {
    if (memory) unmap_pages(memory, bytes);
  }
};

bool test(const u64* set, u64 fd) {
  return set && (set[fd / 64] >> fd % 64 & 1);
}
void put(u64* set, u64 fd, bool value) {
  if (value)
    set[fd / 64] |= 1ull << fd % 64;
  else
    set[fd / 64] &= ~(1ull << fd % 64);
}

bool read_sets(const Frame& f, u64 bits, FdSets& sets) {
  sets.words = (bits + 63) / 64;
  sets.bytes = (sets.words * 24 + 4095) & ~4095ull;
  sets.memory = static_cast<u64*>(map_pages(sets.bytes));
  if (!sets.memory) return false;
  for (int i = 0; i < 3; i++) {
    const u64 from = f.arg(i + 1);
    sets.in[i] = from ? sets.memory + static_cast<u64>(i) * sets.words : nullptr;
    if (from && !user_read(from, sets.in[i], sets.words * 8)) return false;
  }
  return true;
}

// Whether any number in the sets is offloaded. Most programs never get past this test.
bool any_on_device(const Process* process, const FdSets& sets, u64 bits) {
  for (u64 fd = 0; fd < bits && fd < process->table()->fd_limit; fd++) {
    if (!(process->fds[fd] & (kOffloaded | kCompanion))) continue;
    for (const u64* set : sets.in) {
      if (test(set, fd)) return true;
    }
  }
  return false;
}

// The timeout of select and pselect6, checked as the host kernel would. 0 or the error.
long read_select_timeout(const Frame& f, bool is_pselect, TimeSpec& timeout) {
  if (!user_read(f.r8, &timeout, sizeof timeout)) return -EFAULT;
  if (timeout.seconds < 0 || timeout.nanoseconds < 0) return -EINVAL;
  if (is_pselect) return timeout.nanoseconds >= 1'000'000'000 ? -EINVAL : 0;
  timeout.seconds += timeout.nanoseconds / 1'000'000;
  timeout.nanoseconds = timeout.nanoseconds % 1'000'000 * 1000;
  return 0;
}

// One poll entry for each number that is in any set.
u64 count_numbers(const FdSets& sets, u64 bits) {
  u64 count = 0;
  for (u64 fd = 0; fd < bits; fd++)
    count += test(sets.in[0], fd) || test(sets.in[1], fd) || test(sets.in[2], fd);
  return count;
}

void fill_entries(const FdSets& sets, u64 bits, pollfd* entry) {
  for (u64 fd = 0; fd < bits; fd++) {
    short events = 0;
    if (test(sets.in[0], fd)) events |= POLLIN | POLLRDNORM | POLLRDBAND;
    if (test(sets.in[1], fd)) events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    if (test(sets.in[2], fd)) events |= POLLPRI;
    if (events) *entry++ = {static_cast<int>(fd), events, 0};
  }
}

// Whether all numbers that the host watches are open. A number that is closed later counts as ready
// (POLLIN_SET and its like in fs/select.c).
bool all_open(Entries& entries) {
  poll_host_now(entries.host(), entries.count());
  for (u64 i = 0; i < entries.count(); i++) {
    if (entries.host()[i].revents & POLLNVAL) return false;
  }
  return true;
}

// Puts the states into the sets. Returns how many bits are set.
long take_states(Entries& entries, FdSets& sets) {
  long ready_bits = 0;
  for (u64 i = 0; i < entries.count(); i++) {
    const u64 fd = static_cast<u64>(entries.wanted()[i].fd);
    const short revents = entries.revents(i);
    constexpr short kIn = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR | POLLNVAL;
    constexpr short kOut = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR | POLLNVAL;
    const bool states[3] = {(revents & kIn) != 0, (revents & kOut) != 0,
                            (revents & (POLLPRI | POLLNVAL)) != 0};
    for (int k = 0; k < 3; k++) {
      if (!test(sets.in[k], fd)) continue;
      put(sets.in[k], fd, states[k]);
      ready_bits += states[k];
    }
  }
  return ready_bits;
}

}  // namespace

long do_select(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const int n = static_cast<int>(f.rdi);
  if (ts->process->table()->fd_limit == 0 || n <= 0) return kLocal;
  const u64 bits = min(static_cast<u64>(n), 65536);
  FdSets sets{};
  if (!read_sets(f, bits, sets)) return kLocal;
  if (!any_on_device(ts->process, sets, bits)) return kLocal;
  const bool is_pselect = row.nr == __NR_pselect6;
  TimeSpec timeout{};
  TimeSpec* limit = f.r8 ? &timeout : nullptr;
  if (limit) {
    if (const long error = read_select_timeout(f, is_pselect, timeout)) return error;
  }
  u64 mask_argument[2] = {0, 8};
  if (is_pselect && f.r9 && !user_read(f.r9, mask_argument, sizeof mask_argument)) return -EFAULT;
  Entries entries(count_numbers(sets, bits));
  if (!entries.valid()) return -ENOMEM;
  fill_entries(sets, bits, entries.wanted());
  const Sides sides = split(ts->process, entries);
  if (sides.host && !all_open(entries)) return -EBADF;
  TemporaryMask mask(ts, mask_argument[0], mask_argument[1]);
  if (mask.error()) return mask.error();
  const long result = mask.finish(wait_both(ts, entries, sides, limit));
  if (f.r8 && (result >= 0 || result == abi::kErestartnohand)) {
    TimeSpec rest = timeout;
    if (!is_pselect) rest.nanoseconds /= 1000;
    user_write(f.r8, &rest, sizeof rest);
  }
  if (result < 0) return result;
  const long ready_bits = take_states(entries, sets);
  for (int k = 0; k < 3; k++) {
    if (sets.in[k] && !user_write(f.arg(k + 1), sets.in[k], sets.words * 8)) return -EFAULT;
  }
  return ready_bits;
}

}  // namespace mino::hook
