// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/credentials.h.
#include "hook/calls/credentials.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Does this call leave the process with fewer ways to reach the device than it has now? A program
// that sets the ids it has anyway (posix_spawn with POSIX_SPAWN_RESETIDS), or its umask, does not.
bool gives_up_rights(ThreadState* ts, const abi::Row& row) {
  constexpr int kSetuid = 105, kSetgid = 106, kSetreuid = 113, kSetregid = 114, kSetresuid = 117,
                kSetresgid = 119, kUmask = 95;
  constexpr long kGetresuid = 118, kGetresgid = 120;
  if (row.nr == kUmask) return false;
  const bool users = row.nr == kSetuid || row.nr == kSetreuid || row.nr == kSetresuid;
  const bool groups = row.nr == kSetgid || row.nr == kSetregid || row.nr == kSetresgid;
  if (!users && !groups) return true;
  u32 ids[3];
  raw(users ? kGetresuid : kGetresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  const bool all_three = row.nr == kSetresuid || row.nr == kSetresgid;
  const int count = all_three ? 3 : row.nr == kSetreuid || row.nr == kSetregid ? 2 : 1;
  for (int i = 0; i < count; i++) {
    const u32 wanted = static_cast<u32>(ts->frame.arg(i));
    if (wanted != ~0u && wanted != ids[0]) return true;
  }
  return ids[1] != ids[0] || ids[2] != ids[0];
}

}  // namespace

// Credentials: the host decides; the proxy's lane thread then becomes what the client has become. A
// device that refuses keeps its older, as far as it goes lower, rights: it can only be stricter.
long do_mirror(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = f.arg(i);
  const bool gives_up = settings.active && gives_up_rights(ts, row);
  if (gives_up && ts->process->session().status == SessionStatus::kNone)
    ready(ts);  // while we still may
  const long result = raw(row.nr, args[0], args[1], args[2], args[3], args[4]);
  if (is_error(result) || ts->process->session().status != SessionStatus::kLive) return result;
  if (gives_up && row.nr != __NR_prctl) {
    ts->process->credentials_changed = true;
    __atomic_fetch_add(&ts->process->table()->credentials_turn, 1u, __ATOMIC_RELAXED);
  }
  // capset names the client's thread, which the device does not know: there it is the lane's own.
  struct {
    u32 version;
    int pid;
  } header{};
  constexpr int kCapset = 126;
  if (row.nr == kCapset && user_read(args[0], &header, sizeof header)) {
    header.pid = 0;
    args[0] = ptr(&header);
  }
  if (ready(ts) == 0) offload(ts, row, args, -1, 0, kNoCancel);
  return result;
}

}  // namespace mino::hook
