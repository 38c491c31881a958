// SPDX-License-Identifier: Apache-2.0
//
// A proxy process: what its threads share. There is one process per session. Used by every file of
// engine/native/ that runs in a proxy.
//
//   thread    file table   does
//   control   its own      messages on the session's socket, deaths, cancellation; never blocks
//   root      the lanes'   makes lane threads
//   lanes     the lanes'   execute calls
//
// Everything here lives as long as the process, and is never freed. The process ends by _exit(), in
// the thread that finds a reason.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "channel/session_control.h"
#include "channel/session_memory.h"
#include "engine/engine.h"
#include "engine/native/file_table.h"
#include "engine/native/lane.h"
#include "engine/native/root.h"

namespace mino {

// Numbers in the control thread's table, for pull().
struct ControlFiles {
  int socket = -1;
  int minod = -1;
  int nudge = -1;  // eventfd: a cancelled call has begun
};

struct Proxy final : Kicker {
  Proxy() : files(*this), root(*this) {}
  // After a fork: with the file table that this process has inherited.
  explicit Proxy(const FileTable& inherited) : files(*this, inherited), root(*this) {}

  SessionMemory memory;
  FileTable files;
  Root root;
  ControlFiles control;
  SessionStats* stats = nullptr;
  StatsTable* stats_table = nullptr;
  std::string socket_path;
  // Several processes are clients of this proxy: each lane has its own credentials.
  std::atomic<bool> shared{false};
  // Made by the root thread when first used, never freed.
  std::array<std::atomic<Lane*>, abi::kMaxLanes> lanes{};

  Lane& lane(uint32_t index);
  Lane* existing_lane(uint32_t index) const { return lanes[index].load(std::memory_order_acquire); }

  // In a thread of the lane table, between enter() and leave(): returns a temporary for one of the
  // control thread's files.
  int pull(int number) const;

  // By a lane: the call that it is about to enter has been cancelled already.
  void nudge_control();

  void kick(bool lingering) override;
};

}  // namespace mino
