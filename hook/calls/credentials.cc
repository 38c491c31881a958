// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/credentials.h. A device that cannot follow keeps its old credentials where these
// are lower: it can only be stricter than the host.
#include "hook/calls/credentials.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/credentials.h"
#include "hook/device/lanes.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Can this call put the device out of the process's reach? Not if it sets ids that the process
// already has (posix_spawn with POSIX_SPAWN_RESETIDS), nor if it sets the umask.
bool may_lose_device(ThreadState* ts, const abi::Row& row) {
  if (row.nr == __NR_umask) return false;
  const bool users = row.nr == __NR_setuid || row.nr == __NR_setreuid || row.nr == __NR_setresuid;
  const bool groups = row.nr == __NR_setgid || row.nr == __NR_setregid || row.nr == __NR_setresgid;
  if (!users && !groups) return true;
  u32 ids[3];
  raw(users ? __NR_getresuid : __NR_getresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  const bool all_three = row.nr == __NR_setresuid || row.nr == __NR_setresgid;
  const int count = all_three ? 3 : row.nr == __NR_setreuid || row.nr == __NR_setregid ? 2 : 1;
  for (int i = 0; i < count; i++) {
    const u32 wanted = static_cast<u32>(ts->frame.arg(i));
    if (wanted != ~0u && wanted != ids[0]) return true;
  }
  return ids[1] != ids[0] || ids[2] != ids[0];
}

}  // namespace

long do_credentials(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  const bool loses = settings.active && may_lose_device(ts, row);
  if (loses && ts->process->session().status == SessionStatus::kNone)
    ready(ts);  // connect while it is still possible
  const long result = raw(row.nr, args[0], args[1], args[2], args[3], args[4]);
  if (is_error(result) || ts->process->session().status != SessionStatus::kLive) return result;
  if (loses && row.nr != __NR_prctl) {
    ts->process->credentials_changed = true;
    __atomic_fetch_add(&ts->process->table()->credentials_turn, 1u, __ATOMIC_RELAXED);
  }
  // capset names the client's thread, which the device does not know. There it means the lane's
  // thread: pid 0.
  __user_cap_header_struct header{};
  if (row.nr == __NR_capset && user_read(args[0], &header, sizeof header)) {
    header.pid = 0;
    args[0] = ptr(&header);
  }
  if (ready(ts) != 0) return result;
  if (row.nr != __NR_umask && !ts->lane_borrowed) keep_lane(ts);
  // The device does not know the ids of a user namespace. It knows capabilities.
  if (ts->process->own_users && row.nr != __NR_umask && row.nr != __NR_capset) {
    follow_capabilities(ts);
    return result;
  }
  offload(ts, row, args, -1, 0, kNoCancel);
  return result;
}

}  // namespace mino::hook
