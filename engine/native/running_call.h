// SPDX-License-Identifier: Apache-2.0
//
// The call that a lane thread is blocked in, as other threads see it. The control thread cancels
// it. When the file table has to grow, a call that makes a file is kicked: it is interrupted, and
// executed again. Used by lane.cc (owner), control.cc and proxy.cc (others). A signal meant for one
// call must never reach the next: end() waits until no other thread is sending one, and takes the
// signal before it returns.
//
// The threads agree by one atomic word. It has the turn of the call, the number of threads that are
// sending a signal just now, and flags:
//
//   word:  turn (32) | signallers (16) | flags (16)
//
// A signal may come before the thread is in the kernel, and then does nothing. Therefore whoever
// wants a call to end repeats the signal until it has. The result is then the kernel's own, as if
// the signal had come during the call.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace mino {

class RunningCall {
 public:
  void set_thread(pid_t tid) { tid_.store(tid, std::memory_order_relaxed); }

  // What growth of the file table waits for while the call runs.
  enum class Holds : uint8_t { kNothing, kFile, kLingering };

  // By the owner. begin() is true if this turn was cancelled before it began: the caller must then
  // ask somebody to signal.
  bool begin(uint32_t turn, Holds holds);
  void end();
  bool cancelled() const { return (word_.load(std::memory_order_acquire) & kCancelled) != 0; }
  void forget_cancellation() { cancelled_turn_.store(0, std::memory_order_relaxed); }

  // By others. Remembers the cancellation for a turn that has not begun, and signals one that runs.
  void cancel(uint32_t turn);
  // Signals the call again if it is cancelled and still runs. False if there is none.
  bool signal_cancelled();
  // Has a call that makes a file executed again. With `lingering`, also ends a close() that waits.
  void kick(bool lingering);
  // Cancels whatever runs.
  void cancel_any();

 private:
  static constexpr uint64_t kRunning = 1, kHoldsFile = 2, kLingers = 4, kCancelled = 8,
                            kSignalled = 16;
  static constexpr uint64_t kSignaller = 0x10000, kSignallers = 0xffff0000;

  // Adds `flags`, and signals, if `wanted` says so of the current word.
  template <class Wanted>
  bool signal(uint64_t flags, Wanted wanted);

  std::atomic<uint64_t> word_{0};
  // The turn to cancel, with bit 32 set; 0 if none.
  std::atomic<uint64_t> cancelled_turn_{0};
  std::atomic<pid_t> tid_{0};
};

}  // namespace mino
