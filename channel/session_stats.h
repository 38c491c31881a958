// SPDX-License-Identifier: Apache-2.0
//
// Counters of every session on a device: what C++ does with the rows of abi/stats.h. Used by minod
// and by proxies, which share one table. Must never add a member to a row: kernel instances map it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "abi/limits.h"
#include "abi/stats.h"

namespace mino {

struct alignas(64) SessionStats : mino_stats_row {
  static constexpr uint32_t kNobody = ~0u;

  SessionStats() : mino_stats_row{} { uid = kNobody; }
};
static_assert(sizeof(SessionStats) == MINO_STATS_ROW_BYTES);

struct StatsTable {
  SessionStats rows[abi::kMaxSessions];
  uint32_t most = 0, most_per_user = 0;  // sessions; 0: as many as there are rows

  // The rows that can be in use. A fork need not look at the others.
  std::span<const SessionStats> usable() const {
    return {rows, most != 0 ? most : abi::kMaxSessions};
  }

  uint32_t sessions_of(uint32_t uid) const {
    return static_cast<uint32_t>(std::ranges::count_if(
        usable(), [uid](const SessionStats& row) { return row.proxy_pid > 0 && row.uid == uid; }));
  }

  // Why `uid` cannot have another session, or "".
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

  // Claims a free row for `pid`, which serves `uid`; nullptr if refusal() says why not. If several
  // processes come at once for the last row, all may be refused.
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
