// SPDX-License-Identifier: Apache-2.0
//
// See hook/base/limits.h.
#include "hook/base/limits.h"

#include "hook/base/lock.h"

namespace mino::hook {

namespace {

constexpr u32 kMost = 3;  // resources of a kind
struct Group {
  u32 resources[kMost], count;
  u32 lock, users;
  u64 before[kMost][2];  // soft, hard; while there are users
};
Group groups[LiftedLimits::kKinds] = {{{RLIMIT_NOFILE}, 1, 0, 0, {}},
                                      {{RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK}, 3, 0, 0, {}}};

bool change(u64 resource, const u64* value, u64* old) {
  return raw(__NR_prlimit64, 0, resource, ptr(value), ptr(old)) == 0;
}

void lift(u64 resource, const u64 (&before)[2]) {
  const u64 most[2] = {before[1], before[1]};
  if (resource == RLIMIT_NOFILE) {
    // The program may have numbers above its limit, and all below may be in use.
    constexpr u64 kRoom = 2 * 4096;
    const u64 wanted = before[0] < ~0ull - kRoom ? before[0] + kRoom : before[0];
    const u64 both[2] = {wanted, before[1] < wanted ? wanted : before[1]};
    if (change(resource, both, nullptr)) return;
  }
  if (before[0] != before[1]) change(resource, most, nullptr);
}

}  // namespace

LiftedLimits::LiftedLimits(Kind kind) : kind_(kind) {
  Group& group = groups[kind];
  lock(group.lock);
  if (group.users++ == 0) {
    for (u32 i = 0; i < group.count; i++) {
      change(group.resources[i], nullptr, group.before[i]);
      lift(group.resources[i], group.before[i]);
    }
  }
  unlock(group.lock);
}

LiftedLimits::~LiftedLimits() {
  Group& group = groups[kind_];
  lock(group.lock);
  if (--group.users == 0) {
    for (u32 i = 0; i < group.count; i++) change(group.resources[i], group.before[i], nullptr);
  }
  unlock(group.lock);
}

u64 number_limit() {
  Group& group = groups[LiftedLimits::kNumbers];
  u64 limit[2] = {~0ull, ~0ull};
  lock(group.lock);
  if (group.users)
    limit[0] = group.before[0][0];
  else
    change(RLIMIT_NOFILE, nullptr, limit);
  unlock(group.lock);
  return limit[0];
}

LimitsAtRest::LimitsAtRest() {
  for (Group& group : groups) {
    for (lock(group.lock); group.users; lock(group.lock)) {
      unlock(group.lock);
      raw(__NR_sched_yield);
    }
  }
}

LimitsAtRest::~LimitsAtRest() {
  for (Group& group : groups) unlock(group.lock);
}

void reset_limits() {
  for (Group& group : groups) group.lock = group.users = 0;
}

}  // namespace mino::hook
