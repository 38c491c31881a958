// SPDX-License-Identifier: Apache-2.0
#include "engine/native/running_call.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/native/gadget.h"

namespace mino {

namespace {

constexpr uint64_t kTurnSet = uint64_t{1} << 32;

}  // namespace

bool RunningCall::begin(uint32_t turn, Holds holds) {
  uint64_t flags = kRunning;
  if (holds == Holds::kFile) flags |= kHoldsFile;
  if (holds == Holds::kLingering) flags |= kLingers;
  // Sequentially consistent with cancel(): either cancel() sees this turn, or this sees the
  // cancellation.
  word_.store(uint64_t{turn} << 32 | flags, std::memory_order_seq_cst);
  if (cancelled_turn_.load(std::memory_order_seq_cst) != (kTurnSet | turn)) return false;
  word_.fetch_or(kCancelled, std::memory_order_acq_rel);
  return true;
}

void RunningCall::end() {
  uint64_t seen = word_.load(std::memory_order_acquire);
  for (;;) {
    if ((seen & kSignallers) != 0) {
      ::sched_yield();
      seen = word_.load(std::memory_order_acquire);
    } else if (word_.compare_exchange_weak(seen, 0, std::memory_order_acq_rel)) {
      break;
    }
  }
  // The signal is pending by now. Any entry into the kernel delivers it.
  if ((seen & kSignalled) != 0) ::syscall(SYS_getppid);
}

template <class Wanted>
bool RunningCall::signal(uint64_t flags, Wanted wanted) {
  uint64_t seen = word_.load(std::memory_order_seq_cst);
  do {
    if ((seen & kRunning) == 0 || !wanted(seen)) return false;
  } while (!word_.compare_exchange_weak(seen, (seen | flags | kSignalled) + kSignaller,
                                        std::memory_order_seq_cst));
  ::syscall(SYS_tgkill, ::getpid(), tid_.load(std::memory_order_relaxed), interrupt_signal());
  word_.fetch_sub(kSignaller, std::memory_order_acq_rel);
  return true;
}

void RunningCall::cancel(uint32_t turn) {
  cancelled_turn_.store(kTurnSet | turn, std::memory_order_seq_cst);
  signal(kCancelled, [turn](uint64_t word) { return word >> 32 == turn; });
}

bool RunningCall::signal_cancelled() {
  return signal(0, [](uint64_t word) { return (word & kCancelled) != 0; });
}

void RunningCall::kick(bool lingering) {
  const uint64_t wanted = kHoldsFile | (lingering ? kLingers : 0);
  signal(0, [wanted](uint64_t word) { return (word & wanted) != 0; });
}

void RunningCall::cancel_any() {
  signal(kCancelled, [](uint64_t) { return true; });
}

}  // namespace mino
