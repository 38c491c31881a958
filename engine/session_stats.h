// SPDX-License-Identifier: Apache-2.0
//
// Counters of every session on a device, in one memory object that minod, all its proxies and
// kernel instances share. Who serves a session writes its row; `mino status` reads them all through
// minod. Counters are never used for decisions; a row's pids tell whether a session is over, and
// whose it is, who may have another one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "abi/limits.h"

namespace mino {

struct alignas(64) SessionStats {
  std::atomic<int32_t> proxy_pid;  // 0: the row is free; claimed by compare-exchange from 0
  std::atomic<int32_t> client_pid;
  std::atomic<uint64_t> session_id;
  std::atomic<uint64_t> calls;         // system calls executed
  std::atomic<uint64_t> round_trips;   // request/reply pairs, upcalls not included
  std::atomic<uint64_t> upcalls;       // each is a round trip of its own
  std::atomic<uint64_t> bytes_in;      // client memory read by the device
  std::atomic<uint64_t> bytes_out;     // client memory written by the device
  std::atomic<uint32_t> lanes;         // lane threads running
  char name[16];                       // the client's comm, as it said
  std::atomic<uint32_t> instance;      // of the linux engine; whose kernel serves it
  std::atomic<uint32_t> uid{kNobody};  // the client's, when it last told us who it is

  static constexpr uint32_t kNobody = ~0u;
};

struct StatsTable {
  SessionStats rows[abi::kMaxSessions];
  uint32_t most = 0, most_per_user = 0;  // sessions; 0: as many as there are rows

  // Those that there can be; the rest is not worth a look at each fork.
  std::span<const SessionStats> usable() const {
    return {rows, most != 0 ? most : abi::kMaxSessions};
  }

  uint32_t sessions_of(uint32_t uid) const {
    return static_cast<uint32_t>(std::ranges::count_if(
        usable(), [uid](const SessionStats& row) { return row.proxy_pid > 0 && row.uid == uid; }));
  }

  // Why `uid` can have no other session, or "".
  std::string refusal(uint32_t uid) const {
    const std::string where = " in minod's configuration";
    if (std::ranges::none_of(usable(), [](const SessionStats& row) { return row.proxy_pid == 0; }))
      return "the device is full: limits.sessions = " + std::to_string(usable().size()) + where;
    if (most_per_user != 0 && sessions_of(uid) >= most_per_user) {
      return "user " + std::to_string(uid) + " has as many sessions as one user may: " +
             "limits.sessions_per_user = " + std::to_string(most_per_user) + where;
    }
    return {};
  }

  // Claims a free row for `pid`, which serves `uid`; nullptr where refusal() says why. Of several
  // that come at once for the last one, all may be refused.
  SessionStats* claim(int32_t pid, uint32_t uid) {
    for (SessionStats& row : rows) {
      int32_t free = 0;
      if (row.proxy_pid.load(std::memory_order_relaxed) != 0 ||
          !row.proxy_pid.compare_exchange_strong(free, pid)) {
        continue;
      }
      row.uid = uid;
      if (most_per_user == 0 || sessions_of(uid) <= most_per_user) return &row;
      row.uid = SessionStats::kNobody;
      row.proxy_pid = 0;
      return nullptr;
    }
    return nullptr;
  }
};

}  // namespace mino
