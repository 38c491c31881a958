// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/user_namespaces.h.
#include "hook/device/user_namespaces.h"

#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/lanes.h"

namespace mino::hook {

namespace {

// From now on the ids that the host shows are those of another namespace.
void be_elsewhere(ThreadState* ts) {
  Table* const table = ts->process->table();
  ts->process->own_users = ts->process->credentials_changed = true;
  table->lane_credentials[ts->lane_index] =
      __atomic_add_fetch(&table->credentials_turn, 1u, __ATOMIC_RELAXED);
  keep_lane(ts);
}

void drop_capabilities(ThreadState* ts) {
  const __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  device_call(ts, __NR_capset, ptr(&header), ptr(none));
}

}  // namespace

long enter_new_users(ThreadState* ts, u64 spaces) {
  if (ts->process->session().status != SessionStatus::kLive || ready(ts) != 0) return 0;
  if (spaces & CLONE_NEWUSER) be_elsewhere(ts);
  keep_lane(ts);
  const long result = offload_op(ts, abi::Op::kNewUsers, spaces, 0, -1, kNoCancel);
  if (!is_error(result)) return 0;
  if (spaces & CLONE_NEWUSER) drop_capabilities(ts);
  return spaces & CLONE_NEWNET ? result : 0;
}

void leave_users(ThreadState* ts) {
  if (ts->process->session().status != SessionStatus::kLive || ready(ts) != 0) return;
  be_elsewhere(ts);
  drop_capabilities(ts);
}

}  // namespace mino::hook
