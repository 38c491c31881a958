// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/credentials.h.
#include "hook/device/credentials.h"

#include "hook/base/uapi.h"
#include "hook/device/call.h"
#include "hook/state/process.h"

namespace mino::hook {

bool lane_has_rights(const ThreadState* ts) {
  const Table* const table = ts->process->table();
  return !ts->process->rights_changed ||
         (!table->shared && table->lane_rights[ts->lane_index] == table->rights_turn);
}

void follow_capabilities(ThreadState* ts, u8 submission_flags) {
  constexpr long kCapget = 125, kCapset = 126;
  struct {
    u32 version;
    int pid;
  } header{0x20080522, 0};
  u32 sets[6];  // effective, permitted, inheritable; then their upper halves
  if (raw(kCapget, ptr(&header), ptr(sets)) != 0 || (sets[1] == ~0u && sets[0] == ~0u)) return;
  const u64 args[6] = {ptr(&header), ptr(sets)};
  offload(ts, *abi::find_row(kCapset), args, -1, submission_flags, kNoCancel);
}

void follow_rights(ThreadState* ts) {
  constexpr int kGetgroups = 115, kSetgroups = 116, kSetresuid = 117, kGetresuid = 118,
                kSetresgid = 119, kGetresgid = 120;
  constexpr u64 kSetKeepcaps = 8, kMostGroups = 1024;
  const auto become = [ts](int number, u64 a, u64 b, u64 c) {
    const u64 args[6] = {a, b, c};
    offload(ts, *abi::find_row(static_cast<u64>(number)), args, -1, abi::kFlagOwnRights, kNoCancel);
  };
  u32 groups[kMostGroups], ids[3];
  const long count = raw(kGetgroups, kMostGroups, ptr(groups));
  if (!is_error(count)) become(kSetgroups, static_cast<u64>(count), ptr(groups), 0);
  raw(kGetresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(kSetresgid, ids[0], ids[1], ids[2]);
  become(__NR_prctl, kSetKeepcaps, 1, 0);
  raw(kGetresuid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(kSetresuid, ids[0], ids[1], ids[2]);
  follow_capabilities(ts, abi::kFlagOwnRights);
  become(__NR_prctl, kSetKeepcaps, 0, 0);
}

}  // namespace mino::hook
