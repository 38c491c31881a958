// SPDX-License-Identifier: Apache-2.0
//
// The resource limits that a program has set itself (setrlimit(2)) count its own files and memory,
// not the hook's. Where the hook needs some, the soft limits are lifted for a moment. All threads
// share a process's limits, so the first who needs them lifted remembers what they were, and the
// last restores that.
//
// A child of vfork has limits of its own but shares this memory: while a thread of its parent has
// them lifted, it does without.
#pragma once

#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

class LiftedLimits {
 public:
  enum Kind : u32 {
    kNumbers,  // RLIMIT_NOFILE; also the hard one, if the program has the right
    kMemory,   // RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK
    kKinds,
  };
  explicit LiftedLimits(Kind kind);
  ~LiftedLimits();
  LiftedLimits(const LiftedLimits&) = delete;
  LiftedLimits& operator=(const LiftedLimits&) = delete;

 private:
  const Kind kind_;
};

// The program's soft RLIMIT_NOFILE, lifted or not.
u64 number_limit();

// While one exists, no limit is lifted: for what gives the limits to another program or process, or
// changes them. It waits for those that are.
class LimitsAtRest {
 public:
  LimitsAtRest();
  ~LimitsAtRest();
  LimitsAtRest(const LimitsAtRest&) = delete;
  LimitsAtRest& operator=(const LimitsAtRest&) = delete;
};

template <class Call>
long with_limits_at_rest(const Call& call) {
  const LimitsAtRest at_rest;
  return call();
}

// For a forked child, whose parent held them at rest.
void reset_limits();

// Makes a call that returns a new descriptor or an error. If the program has used up its numbers,
// it is made again with more.
template <class Call>
long with_more_numbers(const Call& call) {
  const long result = call();
  if (result != -EMFILE) return result;
  const LiftedLimits more(LiftedLimits::kNumbers);
  return call();
}

}  // namespace mino::hook
