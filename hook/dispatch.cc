// SPDX-License-Identifier: Apache-2.0
//
// From a caught system call to its handler, and from the handler's result back to the program.
// Called by hook/catch/entry.S. The handlers, one per Route, are in hook/calls/. This is the top
// layer of hook/: nothing else may depend on it.
#include "hook/base/uapi.h"
#include "hook/calls/bpf.h"
#include "hook/calls/credentials.h"
#include "hook/calls/descriptor_list.h"
#include "hook/calls/descriptors.h"
#include "hook/calls/epoll.h"
#include "hook/calls/exec.h"
#include "hook/calls/exit.h"
#include "hook/calls/fork.h"
#include "hook/calls/guard.h"
#include "hook/calls/handler.h"
#include "hook/calls/ioctl.h"
#include "hook/calls/messages.h"
#include "hook/calls/mmap.h"
#include "hook/calls/netlink.h"
#include "hook/calls/paths.h"
#include "hook/calls/pidfd_getfd.h"
#include "hook/calls/poll.h"
#include "hook/calls/signals.h"
#include "hook/calls/socket_options.h"
#include "hook/calls/splice.h"
#include "hook/calls/wait.h"
#include "hook/catch/disarm.h"
#include "hook/device/attach.h"
#include "hook/device/bell.h"
#include "hook/device/call.h"
#include "hook/device/lanes.h"
#include "hook/device/trace.h"
#include "hook/state/filters.h"
#include "hook/state/settings.h"
#include "hook/state/signal_mask.h"

namespace mino::hook {

namespace {

u64 msg_flags(const abi::Row& row, const Frame& f) {
  for (int i = 0; i < 6; i++) {
    if (row.args[i].print == abi::Print::kMsgFlags) return f.arg(i);
  }
  return 0;
}

void raise_sigpipe() {
  raw(__NR_tgkill, static_cast<u64>(raw(__NR_getpid)), static_cast<u64>(raw(__NR_gettid)), SIGPIPE);
}

bool sets_timeout(const Frame& f) {
  const int name = static_cast<int>(f.rdx);
  return static_cast<int>(f.rsi) == SOL_SOCKET &&
         (name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD || name == SO_RCVTIMEO_NEW ||
          name == SO_SNDTIMEO_NEW);
}

long do_by_fd(ThreadState* ts, const abi::Row& row) {
  const u8 flags = ts->process->flags(static_cast<u32>(ts->frame.rdi));
  if (flags & kOffloaded) {
    if (row.nr == __NR_setsockopt && sets_timeout(ts->frame)) note_socket_timeouts();
    if (row.nr == __NR_getsockopt) return do_getsockopt(ts, row);
    return flags & kMaybeNetlink ? do_netlink(ts, row) : offload_frame(ts, row);
  }
  if (flags & kPrivate) return -EBADF;
  if (is_listing(row)) return do_listing(ts, row);
  return flags & kSignals ? read_signals(ts, row.nr) : kLocal;
}

long route(ThreadState* ts, const abi::Row& row) {
  using enum abi::Route;
  switch (row.route) {
    case kByFd:
      return do_by_fd(ts, row);
    case kSocket:
      return do_socket(ts, row);
    case kSocketPair:
      return kLocal;  // no offloaded family has pairs, so the host kernel's error is right
    case kPath:
      return do_path(ts, row);
    case kMount:
      return settings.netns ? do_path(ts, row) : kLocal;
    case kPathTwo:
      return do_path_two(ts, row);
    case kCwd:
      return do_cwd(ts, row);
    case kClose:
      return do_close(ts, row);
    case kCloseRange:
      return do_close_range(ts, row);
    case kDup:
      return do_dup(ts, row);
    case kFcntl:
      return do_fcntl(ts, row);
    case kIoctl:
      return do_ioctl(ts, row);
    case kEpollCreate:
      return do_epoll_create(ts, row);
    case kEpollCtl:
      return do_epoll_ctl(ts, row);
    case kEpollWait:
      return wait_with_signalfd(ts, row, do_epoll_wait);
    case kPoll:
      return wait_with_signalfd(ts, row, do_poll);
    case kSelect:
      return wait_with_signalfd(ts, row, do_select);
    case kCopy:
      return do_copy(ts, row);
    case kMessage:
      return do_message(ts, row);
    case kFetch:
      return do_pidfd_getfd(ts, row);
    case kFork:
      return do_fork(ts, row);
    case kExec:
      return do_exec(ts, row);
    case kExit:
      return do_exit(ts, row);
    case kSignal:
      return do_signal(ts, row);
    case kMirror:
      return do_credentials(ts, row);
    case kMap:
      return do_mmap(ts, row);
    case kText:
      before_change_of_text(ts, row);
      return kLocal;
    case kBpf:
      return settings.netns ? do_bpf(ts, row) : kLocal;
    case kWait:
      return do_wait(ts, row);
    case kGuard:
      return do_guard(ts, row);
    case kRefuse:
      return -ENOSYS;
  }
  return kLocal;
}

// Whether a call with this restart code starts over after the signal's handler, as handle_signal in
// arch/x86/kernel/signal.c decides.
bool restarts(const ThreadState* ts, long result) {
  if (result == abi::kErestartnointr) return true;
  return result == abi::kErestartsys && ts->restartable;
}

}  // namespace

}  // namespace mino::hook

extern "C" __attribute__((visibility("hidden"))) long mino_dispatch(mino::hook::ThreadState* ts) {
  using namespace mino::hook;
  Frame& f = ts->frame;
  if (f.rax == static_cast<u64>(kErrand)) {
    const auto errand = reinterpret_cast<long (*)(ThreadState*, u64)>(f.rdi);
    f.rax = static_cast<u64>(errand(ts, f.rsi));
    rest_lane(ts);
    return 0;
  }
  if (ts->filters && !filters_allow_frame(ts)) [[unlikely]]
    return 1;
  const mino::abi::Row& row = *mino::abi::find_row(f.rax);
  ts->call_trips = ts->call_upcalls = 0;
  trace_begin(ts);
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  maybe_disarm(ts);  // before the call, which may add text
  const long result = route(ts, row);
  if (result == kLocal) {
    rest_lane(ts);
    return 1;
  }
  if (result == -EPIPE && (row.flags & mino::abi::kRaisesSigpipe) &&
      !(msg_flags(row, f) & MSG_NOSIGNAL)) {
    raise_sigpipe();
  }
  if (ts->call_trips) trace_end(ts, row, args, result);
  rest_lane(ts);
  if (result <= mino::abi::kErestartsys && result >= mino::abi::kErestartRestartblock) {
    if (restarts(ts, result)) {
      f.rip -= f.restart;
    } else {
      f.rax = static_cast<u64>(-EINTR);
    }
    return 0;
  }
  f.rax = static_cast<u64>(result);
  return 0;
}
