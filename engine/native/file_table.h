// SPDX-License-Identifier: Apache-2.0
//
// The lane file table: the kernel's descriptor table that all lane threads share, in which a
// client's open files have the client's numbers. Used by lanes (calls that make or close files) and
// by the root thread, which sets it up. The control thread has a table of its own and must not call
// into this, except for installed().
//
//   number     holds
//   [0, size)  the client's file of that number, or a filler: an O_PATH descriptor, which answers
//              EBADF to nearly everything and POLLNVAL to poll(), as a closed one does
//   [size, …)  temporaries of running calls, and a few descriptors of the proxy ("internal")
//
// With every low number occupied, the file that socket() or accept() makes appears beyond `size`;
// dup3() then puts it at the client's number in one step. Growth needs the numbers between the old
// and the new size free of temporaries: calls that make files run between enter() and leave(), and
// growth waits until none does, kicking those that block (the kernel restarts them). Rejected:
// closing numbers for real (a temporary could land on a number that another thread installs at this
// moment), and a table far above (the kernel's array grows to the highest number).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "abi/limits.h"

namespace mino {

// Interrupts calls that hold the table, so that they can be executed again.
class Kicker {
 public:
  // Calls that make files; with `lingering`, also those that wait in close().
  virtual void kick(bool lingering) = 0;

 protected:
  ~Kicker() = default;
};

class FileTable {
 public:
  explicit FileTable(Kicker& kicker);
  // In a forked process: takes over what `parent` says of the table. `parent` is a copy that nobody
  // uses any more.
  FileTable(Kicker& kicker, const FileTable& parent);
  ~FileTable();
  FileTable(const FileTable&) = delete;
  FileTable& operator=(const FileTable&) = delete;

  // Empties the calling thread's own table and fills it. Call this before anything else.
  bool establish();
  // After a fork, in the child's root thread, whose table is a copy of the parent's lane table:
  // drops temporaries and internal descriptors.
  bool inherit();

  bool installed(int64_t number) const {
    return number >= 0 && number < size_.load(std::memory_order_acquire) &&
           used_[number].load(std::memory_order_acquire) != 0;
  }
  int size() const { return size_.load(std::memory_order_acquire); }

  // Makes room for a file at `number`; 0 or -errno. Not between enter() and leave().
  int64_t reserve(int number);

  // Around a call that makes a file, until the file has found its place.
  void enter();
  void leave();

  // Between enter() and leave(): moves `temporary` to `number` (reserved before), or closes it.
  // Returns 0 or -errno.
  int64_t install(int temporary, int number);
  void drop(int temporary);
  // Copies the file at `number` to `target` (reserved before), as dup2() does. Returns `target` or
  // -errno.
  int64_t duplicate(int number, int target);

  // Returns 0 or -errno, as from close(). May block if the file lingers.
  int64_t close(int number);
  void close_range(uint32_t first, uint32_t last);

  // Internal descriptors, by slot. adopt() moves `temporary` there, between enter() and leave();
  // internal() is valid between them.
  static constexpr uint32_t kInternalSlots = abi::kMaxLanes;
  void adopt(uint32_t slot, int temporary);
  void discard(uint32_t slot);
  int internal(uint32_t slot) const { return internal_[slot].load(std::memory_order_acquire); }

 private:
  static constexpr int kFirstSize = 256;

  bool fill(int from, int to);
  int64_t grow(int number);
  int64_t relocate(int to);

  Kicker& kicker_;
  std::atomic<int> size_{0};
  std::atomic<int> filler_{-1};       // a filler beyond size_, the source of all others
  std::atomic<uint32_t> entered_{0};  // calls between enter() and leave()
  std::atomic<uint32_t> growing_{0};  // futex and lock of growth
  std::atomic<uint8_t>* used_;        // one byte per number below abi::kMaxFd
  std::array<std::atomic<int>, kInternalSlots> internal_;
};

}  // namespace mino
