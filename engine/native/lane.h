// SPDX-License-Identifier: Apache-2.0
//
// One lane: the thread that executes the calls of one client thread, one after the other. Made by
// root.cc when the client asks for it; cancelled, reset and signalled by control.cc. A lane
// outlives its client thread and serves the next one. Whatever the client puts into the ring, the
// lane must never do worse than end the session.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "abi/decode.h"
#include "channel/device_lane.h"
#include "channel/robust_list.h"
#include "channel/session_stats.h"
#include "engine/native/execute.h"
#include "engine/native/running_call.h"
#include "engine/split.h"

namespace mino {

struct Proxy;

class Lane final : public Upcaller {
 public:
  Lane(Proxy& proxy, uint32_t index);
  virtual ~Lane() = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // By the root thread: starts the thread unless it serves already. If the kernel refuses, the
  // client is told; it shares the lanes that it has.
  void start();
  // By the root thread: fetches the bell from the control thread's table. Rings it once, because
  // the lane may have wanted to while the bell was on its way.
  void set_bell(int number);

  RunningCall& running() { return running_; }

  // By the control thread, for exec. stop() asks the lane to be idle, and is repeated until idle()
  // says that it is. reset() empties the lane; resume() lets it serve again. `round` is never 0,
  // and a new one for every exec.
  void stop(uint32_t round);
  bool idle(uint32_t round) const;
  void reset();
  void resume();

  int64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len,
                 uint32_t arena_off) override;

 private:
  friend class LaneOperations;

  static void* thread_main(void* self);
  void run();
  void attach();
  void serve_next();
  int64_t operation(Split& split);
  void finish(int64_t result, const Split& split);
  void complete(abi::CompletionKind kind, int64_t result, std::span<const abi::Extent> extents);
  void ring_bell();
  void drop_bell();
  void retire();
  void park();
  void count(std::atomic<uint64_t>& counter);
  void publish_counts();
  [[noreturn]] void end_session();

  Proxy& proxy_;
  const uint32_t index_;
  DeviceLane channel_;
  RunningCall running_;
  Executor executor_;
  abi::CheckedSubmission submission_;
  SessionStats counted_{};  // what publish_counts() has not published yet
  bool ended_ = false;      // the client thread is gone, and this one must end, too

  pthread_t thread_{};
  bool started_ = false;               // for the root thread: thread_ must be joined
  std::atomic<uint32_t> serving_{0};   // a thread is there and will look at stopping_
  std::atomic<uint32_t> stopping_{0};  // futex: the round in which the lane must be idle, or 0
  std::atomic<uint32_t> parked_{0};    // the round in which it is idle
  std::mutex bell_mutex_;

  RobustHead robust_{};
  RobustEntry robust_entry_{};
};

}  // namespace mino
