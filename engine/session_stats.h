// SPDX-License-Identifier: Apache-2.0
//
// Counters of every session on a device, in one memory object that minod, all its proxies and
// kernel instances share. Who serves a session writes its row; `mino status` reads them all through
// minod. Counters are never used for decisions; a row's pids tell whether a session is over.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/limits.h"

namespace mino {

struct alignas(64) SessionStats {
  std::atomic<int32_t> proxy_pid;  // 0: the row is free; claimed by compare-exchange from 0
  std::atomic<int32_t> client_pid;
  std::atomic<uint64_t> session_id;
  std::atomic<uint64_t> calls;        // system calls executed
  std::atomic<uint64_t> round_trips;  // request/reply pairs, upcalls not included
  std::atomic<uint64_t> upcalls;      // each is a round trip of its own
  std::atomic<uint64_t> bytes_in;     // client memory read by the device
  std::atomic<uint64_t> bytes_out;    // client memory written by the device
  std::atomic<uint32_t> lanes;        // lane threads running
  char name[16];                      // the client's comm, as it said
  std::atomic<uint32_t> instance;     // of the linux engine; whose kernel serves it
};

struct StatsTable {
  SessionStats rows[abi::kMaxSessions];

  // Claims a free row for `pid`; nullptr when the device is full (abi::kMaxSessions).
  SessionStats* claim(int32_t pid) {
    for (SessionStats& row : rows) {
      int32_t free = 0;
      if (row.proxy_pid.load(std::memory_order_relaxed) == 0 &&
          row.proxy_pid.compare_exchange_strong(free, pid)) {
        return &row;
      }
    }
    return nullptr;
  }
};

}  // namespace mino
