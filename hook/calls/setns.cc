// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/setns.h.
#include "hook/calls/setns.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/epoll.h"
#include "hook/calls/handler.h"
#include "hook/calls/namespaces.h"
#include "hook/calls/pidfd_getfd.h"
#include "hook/calls/symlinks.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/lanes.h"
#include "hook/device/sharing.h"
#include "hook/device/user_namespaces.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Makes the calling thread a member of the network namespace that `path` names on the device.
long enter(ThreadState* ts, const char* path) {
  const u64 open[6] = {ptr(path), O_RDONLY | O_CLOEXEC, 0};
  const long made = offload_new_fd(ts, *abi::find_row(__NR_open), open, true);
  if (made < 0) return made;
  const u64 fd = static_cast<u64>(made);
  keep_lane(ts);
  const long result = device_call(ts, __NR_setns, fd, CLONE_NEWNET);
  close_everywhere(ts, fd);
  return result;
}

struct UserNamespace {
  char link[40]{};  // "user:[4026531837]"
  UserNamespace() { raw(__NR_readlink, ptr("/proc/self/ns/user"), ptr(link), sizeof link - 1); }
};

// setns by a pidfd: all the namespaces that `flags` name, of the process behind it.
long setns_by_process(ThreadState* ts, u64 fd, u64 flags, u64 pid) {
  const u32 there = process_with_network(ts, static_cast<u32>(pid));
  if (!there) return kLocal;
  if (const u64 others = flags & ~u64{CLONE_NEWNET}) {
    if (const long error = setns_on_host(ts, fd, others)) return error;
    ts->process->directory->path[0] = 0;
    forget_file_systems();
  }
  char link[32];
  *print(print_number(print(link, "/proc/"), there), "/ns/net") = 0;
  return enter(ts, link);
}

}  // namespace

long do_unshare(ThreadState* ts, const abi::Row& row) {
  const u64 flags = ts->frame.rdi;
  // The program's sockets are on the device, so a new network namespace must be there too, and a
  // new user namespace on both sides.
  const bool users = flags & CLONE_NEWUSER, net_there = settings.netns && (flags & CLONE_NEWNET);
  const u64 here = net_there ? flags & ~u64{CLONE_NEWNET} : flags;
  // Connect first, since afterwards minod's socket may be out of reach.
  if (net_there && !users) {
    if (const long error = ready(ts)) return error;
  } else if (settings.active && ts->process->session().status == SessionStatus::kNone) {
    ready(ts);
  }
  if (here || !net_there) {
    const bool own = (here & CLONE_FILES) && table_is_shared(ts);
    if (own) share_epoll_sets(ts);
    const long result = own ? own_table(ts, here) : raw(row.nr, here);
    if (is_error(result)) return result;
    if (here & ~u64{CLONE_FILES}) {
      ts->process->directory->path[0] = 0;
      forget_file_systems();
    }
  }
  if (users) return enter_new_users(ts, CLONE_NEWUSER | (net_there ? CLONE_NEWNET : 0));
  if (!net_there) return 0;
  keep_lane(ts);
  const u64 args[6] = {CLONE_NEWNET};
  return offload(ts, row, args, -1, 0, kNoCancel);
}

long setns_on_host(ThreadState* ts, u64 fd, u64 flags) {
  const UserNamespace before;
  const long result = raw(__NR_setns, fd, flags);
  if (result == 0 && !equal(UserNamespace().link, before.link)) leave_users(ts);
  return result;
}

long do_setns(ThreadState* ts, const abi::Row& row) {
  const u64 fd = static_cast<u32>(ts->frame.rdi), flags = static_cast<u32>(ts->frame.rsi);
  if (!settings.netns) return kLocal;
  if (ts->process->offloaded(fd)) {
    if (const long error = ready(ts)) return error;
    keep_lane(ts);
    const u64 args[6] = {fd, flags};
    return offload(ts, row, args, -1, 0, kNoCancel);
  }
  if (ts->process->flags(fd) || (flags != 0 && !(flags & CLONE_NEWNET))) return kLocal;
  if (const u64 pid = flags ? process_of(ts, fd) : 0) return setns_by_process(ts, fd, flags, pid);
  // A descriptor from outside mino: the host's namespace stands for what the device began with.
  return is_own_network_on_host(fd) ? enter(ts, "/proc/1/ns/net") : kLocal;
}

}  // namespace mino::hook
