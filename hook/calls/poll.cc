// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/poll.h.
#include "hook/calls/poll.h"

#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/catch/on_signal.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/mixed_wait.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

struct TimeSpec {
  i64 seconds, nanoseconds;
};

// The two arrays of poll entries of one call: on the hook's stack, or mapped if they are long.
class Entries {
 public:
  explicit Entries(u64 count) : bytes_((count + 2) * sizeof(pollfd)) {
    if (count + 2 <= kInline) {
      device_ = inline_;
      host_ = inline_ + kInline;
    } else {
      mapped_ = static_cast<pollfd*>(map_pages(2 * bytes_));
      device_ = mapped_;
      host_ = mapped_ ? mapped_ + count + 2 : nullptr;
    }
  }
  ~Entries() {
    if (mapped_) unmap_pages(mapped_, 2 * bytes_);
  }
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;
  bool valid() const { return device_ != nullptr; }
  pollfd* device() { return device_; }
  pollfd* host() { return host_; }

 private:
  static constexpr u64 kInline = 1026;
  u64 bytes_;
  pollfd inline_[2 * kInline];
  pollfd* mapped_ = nullptr;
  pollfd* device_ = nullptr;
  pollfd* host_ = nullptr;
};

// Splits `device`, which has all entries, into what the device and what the host watches. An epoll
// set with a companion is watched on both. True if the device has anything to watch.
bool split(const Process* process, pollfd* device, pollfd* host, u64 count, bool* host_any) {
  bool device_any = false;
  *host_any = false;
  for (u64 i = 0; i < count; i++) {
    const int fd = device[i].fd;
    const u8 flags = fd < 0 ? u8{0} : process->flags(static_cast<u32>(fd));
    host[i] = {flags & kOffloaded ? -1 : fd, device[i].events, 0};
    if (!(flags & (kOffloaded | kCompanion))) device[i].fd = -1;
    device[i].revents = 0;
    device_any |= device[i].fd >= 0;
    *host_any |= host[i].fd >= 0;
  }
  return device_any;
}

// What files on a dead device report.
void show_dead(pollfd* device, u64 count) {
  for (u64 i = 0; i < count; i++) {
    if (device[i].fd < 0) continue;
    device[i].revents = static_cast<short>(
        (device[i].events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)) | POLLERR | POLLHUP);
  }
}

// Waits. Afterwards both arrays hold revents, and `timeout` (nullptr: for ever) holds what is left
// of it.
long wait_both(ThreadState* ts, Entries& entries, u64 count, bool host_any, TimeSpec* timeout) {
  pollfd* device = entries.device();
  const abi::Row& row = *abi::find_row(__NR_ppoll);
  const u64 args[6] = {ptr(device), count, ptr(timeout), 0, 0, 0};
  if (ready(ts) != 0) {
    slow_down_dead(ts);
    show_dead(device, count);
    if (host_any) raw(__NR_poll, ptr(entries.host()), count, 0);
    return 0;
  }
  long result = 0;
  if (!host_any || !prepare_bell(ts)) {
    result = offload(ts, row, args);
  } else {
    MixedWait wait{entries.host(), static_cast<u32>(count), true};
    offload_start(ts, row, args, abi::kFlagBell);
    wait_mixed(ts, row_index(row), wait);
    result = wait.device;
    // Poll all of the host's entries at the end, even if the device was ready first.
    if (!wait.host_ready) wait.host_ready = raw(__NR_poll, ptr(wait.host), count, 0) > 0;
    if (result == 0 && !wait.host_ready && ts->deferred) result = abi::kErestartnohand;
  }
  if (result == abi::kErestartnohand && ts->process->session().status != SessionStatus::kDead) {
    // Ready files come before the signal: the kernel, too, checks for them first.
    const TimeSpec now{};
    const u64 again[6] = {args[0], count, ptr(&now), 0, 0, 0};
    const long found = offload(ts, row, again, -1, 0, kNoCancel);
    if (found > 0) result = found;
  }
  if (ts->process->session().status == SessionStatus::kDead) {
    show_dead(device, count);
    result = 0;
  }
  return result;
}

}  // namespace

long do_poll(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 count = static_cast<u32>(f.rsi);
  if (ts->process->table()->fd_limit == 0 || count == 0 || count > abi::kMaxFd) return kLocal;
  if (count > ts->process->open_limit) return -EINVAL;
  Entries entries(count);
  if (!entries.valid()) return -ENOMEM;
  if (!user_read(f.rdi, entries.device(), count * sizeof(pollfd)))
    return kLocal;  // the kernel's EFAULT
  bool host_any;
  if (!split(ts->process, entries.device(), entries.host(), count, &host_any)) return kLocal;
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
  const long result = mask.finish(wait_both(ts, entries, count, host_any, limit));
  if (result < 0) return result;
  long ready_count = 0;
  for (u64 i = 0; i < count; i++) {
    const short revents =
        static_cast<short>(entries.device()[i].revents | entries.host()[i].revents);
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

}  // namespace

long do_select(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const int n = static_cast<int>(f.rdi);
  if (ts->process->table()->fd_limit == 0 || n <= 0) return kLocal;
  const u64 bits = min(static_cast<u64>(n), 65536);
  FdSets sets{};
  if (!read_sets(f, bits, sets)) return kLocal;
  if (!any_on_device(ts->process, sets, bits)) return kLocal;
  // The timeout and the mask, checked as the host kernel would.
  const bool is_pselect = row.nr == __NR_pselect6;
  TimeSpec timeout{};
  TimeSpec* limit = f.r8 ? &timeout : nullptr;
  if (f.r8) {
    if (!user_read(f.r8, &timeout, sizeof timeout)) return -EFAULT;
    if (!is_pselect) {
      if (timeout.nanoseconds < 0 || timeout.seconds < 0) return -EINVAL;
      timeout.seconds += timeout.nanoseconds / 1'000'000;
      timeout.nanoseconds = timeout.nanoseconds % 1'000'000 * 1000;
    } else if (timeout.nanoseconds < 0 || timeout.nanoseconds >= 1'000'000'000 ||
               timeout.seconds < 0) {
      return -EINVAL;
    }
  }
  u64 mask_argument[2] = {0, 8};
  if (is_pselect && f.r9 && !user_read(f.r9, mask_argument, sizeof mask_argument)) return -EFAULT;
  // One poll entry for each number that is in any set.
  u64 count = 0;
  for (u64 fd = 0; fd < bits; fd++)
    count += test(sets.in[0], fd) || test(sets.in[1], fd) || test(sets.in[2], fd);
  Entries entries(count);
  if (!entries.valid()) return -ENOMEM;
  pollfd* device = entries.device();
  count = 0;
  for (u64 fd = 0; fd < bits; fd++) {
    short events = 0;
    if (test(sets.in[0], fd)) events |= POLLIN | POLLRDNORM | POLLRDBAND;
    if (test(sets.in[1], fd)) events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    if (test(sets.in[2], fd)) events |= POLLPRI;
    if (events) device[count++] = {static_cast<int>(fd), events, 0};
  }
  // `split` blanks some entries; their numbers are found again from the sets.
  bool host_any;
  split(ts->process, device, entries.host(), count, &host_any);
  TemporaryMask mask(ts, mask_argument[0], mask_argument[1]);
  if (mask.error()) return mask.error();
  const long result = mask.finish(wait_both(ts, entries, count, host_any, limit));
  if (f.r8 && (result >= 0 || result == abi::kErestartnohand)) {
    TimeSpec rest = timeout;
    if (!is_pselect) rest.nanoseconds /= 1000;
    user_write(f.r8, &rest, sizeof rest);
  }
  if (result < 0) return result;
  long ready_bits = 0;
  for (u64 i = 0, fd = 0; i < count; i++, fd++) {
    while (!test(sets.in[0], fd) && !test(sets.in[1], fd) && !test(sets.in[2], fd)) fd++;
    const short revents = static_cast<short>(device[i].revents | entries.host()[i].revents);
    if (revents & POLLNVAL) return -EBADF;
    const bool states[3] = {(revents & (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)) != 0,
                            (revents & (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)) != 0,
                            (revents & POLLPRI) != 0};
    for (int k = 0; k < 3; k++) {
      if (!test(sets.in[k], fd)) continue;
      put(sets.in[k], fd, states[k]);
      ready_bits += states[k];
    }
  }
  for (int k = 0; k < 3; k++) {
    if (sets.in[k] && !user_write(f.arg(k + 1), sets.in[k], sets.words * 8)) return -EFAULT;
  }
  return ready_bits;
}

}  // namespace mino::hook
