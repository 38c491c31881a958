// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/host_poll.h. Above the limit it is pselect6, which knows no limit; under a
// seccomp filter that does not allow it (dhcpcd's), poll in parts.
#include "hook/device/host_poll.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/state/interruptible.h"
#include "hook/state/process.h"

namespace mino::hook {

namespace {

constexpr short kStates[3] = {POLLIN | POLLRDNORM | POLLRDBAND, POLLOUT | POLLWRNORM | POLLWRBAND,
                              POLLPRI};

// The three sets of a select, for numbers below `bits`.
class Sets {
 public:
  explicit Sets(u64 bits) : words_((bits + 63) / 64), bytes_((words_ * 24 + 4095) & ~4095ull) {
    memory_ = static_cast<u64*>(map_pages(bytes_));
  }
  ~Sets() {
    if (memory_) unmap_pages(memory_, bytes_);
  }
  Sets(const Sets&) = delete;
  Sets& operator=(const Sets&) = delete;
  bool valid() const { return memory_; }
  u64* set(u64 i) { return memory_ + i * words_; }
  void add(u64 i, u64 fd) { set(i)[fd / 64] |= 1ull << fd % 64; }
  bool has(u64 i, u64 fd) { return set(i)[fd / 64] >> fd % 64 & 1; }

 private:
  u64 words_, bytes_;
  u64* memory_;
};

// What poll would say about numbers that are not open.
long mark_closed(pollfd* entries, u64 count) {
  long closed = 0;
  for (u64 i = 0; i < count; i++) {
    const bool open =
        entries[i].fd < 0 || !is_error(raw(__NR_fcntl, static_cast<u64>(entries[i].fd), F_GETFD));
    entries[i].revents = open ? short{0} : short{POLLNVAL};
    closed += !open;
  }
  return closed;
}

// ts: nullptr for a call that does not wait.
long select_host(ThreadState* ts, pollfd* entries, u64 count, TimeSpec* timeout) {
  u64 bits = 0;
  for (u64 i = 0; i < count; i++)
    if (entries[i].fd >= 0 && static_cast<u64>(entries[i].fd) >= bits)
      bits = static_cast<u64>(entries[i].fd) + 1;
  Sets sets(bits + 1);
  if (!sets.valid()) return -ENOMEM;
  for (u64 i = 0; i < count; i++) {
    entries[i].revents = 0;
    for (u64 k = 0; k < 3 && entries[i].fd >= 0; k++)
      if (entries[i].events & kStates[k]) sets.add(k, static_cast<u64>(entries[i].fd));
  }
  // What entries without events would tell must be noticed some time, too.
  TimeSpec slice{1, 0};
  const bool whole = timeout && timeout->seconds < slice.seconds;
  const u64 args[6] = {bits,
                       ptr(sets.set(0)),
                       ptr(sets.set(1)),
                       ptr(sets.set(2)),
                       whole ? ptr(timeout) : ptr(&slice),
                       0};
  const long result = ts ? mino_interruptible(ts, __NR_pselect6, args)
                         : raw(__NR_pselect6, args[0], args[1], args[2], args[3], args[4], 0);
  if (!whole && timeout) {  // at least a second was left
    timeout->seconds += slice.seconds - 1;
    timeout->nanoseconds += slice.nanoseconds;
    if (timeout->nanoseconds >= 1'000'000'000) {
      timeout->nanoseconds -= 1'000'000'000;
      timeout->seconds++;
    }
  }
  if (result == -EBADF) return mark_closed(entries, count);
  if (result <= 0) return result;
  long ready = 0;
  for (u64 i = 0; i < count; i++) {
    for (u64 k = 0; k < 3 && entries[i].fd >= 0; k++)
      if (sets.has(k, static_cast<u64>(entries[i].fd)))
        entries[i].revents |= static_cast<short>(entries[i].events & kStates[k]);
    ready += entries[i].revents != 0;
  }
  return ready;
}

}  // namespace

long poll_host(ThreadState* ts, pollfd* entries, u64 count, TimeSpec* timeout) {
  const u64 args[6] = {ptr(entries), count, ptr(timeout), 0, 8, 0};
  long result = mino_interruptible(ts, __NR_ppoll, args);
  if (result == -EINVAL) result = select_host(ts, entries, count, timeout);
  return result == abi::kErestartsys || result == -EINTR ? abi::kErestartnohand : result;
}

long poll_host_now(pollfd* entries, u64 count) {
  const long result = raw(__NR_poll, ptr(entries), count, 0);
  if (result != -EINVAL) return result;
  TimeSpec now{};
  return select_host(nullptr, entries, count, &now);
}

}  // namespace mino::hook
