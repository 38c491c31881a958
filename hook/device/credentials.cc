// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/credentials.h.
#include "hook/device/credentials.h"

#include "hook/base/uapi.h"
#include "hook/device/call.h"
#include "hook/state/process.h"

namespace mino::hook {

bool lane_has_credentials(const ThreadState* ts) {
  const Table* const table = ts->process->table();
  return !ts->process->credentials_changed ||
         (!table->shared && table->lane_credentials[ts->lane_index] == table->credentials_turn);
}

void follow_capabilities(ThreadState* ts, u8 submission_flags) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];  // the lower halves, then the upper ones
  if (raw(__NR_capget, ptr(&header), ptr(sets)) != 0 ||
      (sets[0].permitted == ~0u && sets[0].effective == ~0u))
    return;
  const u64 args[6] = {ptr(&header), ptr(sets)};
  offload(ts, *abi::find_row(__NR_capset), args, -1, submission_flags, kNoCancel);
}

void follow_credentials(ThreadState* ts) {
  if (ts->process->own_users) {
    // Lanes of the linux engine are in the process's own user namespace, with its capabilities.
    offload_op(ts, abi::Op::kNewUsers, 0, 0, -1, kNoCancel);
    return follow_capabilities(ts, abi::kFlagOwnCredentials);
  }
  constexpr u64 kMostGroups = 1024;
  const auto become = [ts](int number, u64 a, u64 b, u64 c) {
    const u64 args[6] = {a, b, c};
    offload(ts, *abi::find_row(static_cast<u64>(number)), args, -1, abi::kFlagOwnCredentials,
            kNoCancel);
  };
  u32 groups[kMostGroups], ids[3];
  const long count = raw(__NR_getgroups, kMostGroups, ptr(groups));
  if (!is_error(count)) become(__NR_setgroups, static_cast<u64>(count), ptr(groups), 0);
  raw(__NR_getresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(__NR_setresgid, ids[0], ids[1], ids[2]);
  become(__NR_prctl, PR_SET_KEEPCAPS, 1, 0);
  raw(__NR_getresuid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(__NR_setresuid, ids[0], ids[1], ids[2]);
  follow_capabilities(ts, abi::kFlagOwnCredentials);
  become(__NR_prctl, PR_SET_KEEPCAPS, 0, 0);
}

}  // namespace mino::hook
