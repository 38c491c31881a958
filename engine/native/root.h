// SPDX-License-Identifier: Apache-2.0
//
// The root thread: the first owner of the lane file table. All lane threads are made from it, so
// that they share that table and start with its credentials. Other threads give it small tasks.
// Used by control.cc (lanes, bells), execute.cc (credentials) and native_engine.cc.
#pragma once

#include <pthread.h>

#include <atomic>
#include <bitset>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

#include "abi/limits.h"

namespace mino {

struct Proxy;

class Root {
 public:
  explicit Root(Proxy& proxy) : proxy_(proxy) {}

  // Starts the thread and waits until it has a file table of its own: empty, or the client's after
  // a fork. False if that failed. The caller's table is still a copy with everything in it.
  bool start(bool forked);

  void attach(uint32_t lane);
  // `number` is the bell in the control thread's table. It stays open there until the lane gets
  // another bell.
  void set_bell(uint32_t lane, int number);
  // Does give_file() for a socket in the control thread's table, which stays open there until this
  // has been done. given() counts.
  void give(int number, int socket);
  uint32_t given() const { return given_.load(std::memory_order_acquire); }
  // Makes a credentials call on the root thread as well, and waits for that.
  void mirror(uint64_t nr, const uint64_t local[6]);

 private:
  static void* thread_main(void* self);
  void run();
  bool take_table();

  Proxy& proxy_;
  bool forked_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  enum class State { kStarting, kReady, kFailed } state_ = State::kStarting;
  std::bitset<abi::kMaxLanes> to_attach_;
  std::bitset<abi::kMaxLanes> to_bell_;
  int bells_[abi::kMaxLanes] = {};
  struct Gift {
    int number, socket;
  };
  std::deque<Gift> to_give_;
  std::atomic<uint32_t> given_{0};
  const uint64_t* to_mirror_ = nullptr;  // the registers of a call whose number is mirror_nr_
  uint64_t mirror_nr_ = 0;
};

}  // namespace mino
