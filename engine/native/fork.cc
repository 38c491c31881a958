// SPDX-License-Identifier: Apache-2.0
//
// Op::kFork: the kernel copies the lane file table together with the process, and the copy becomes
// a proxy of its own for the client's child. Its leader was a lane thread of the parent. It becomes
// the control thread, and a new root thread takes the file table. Used by lane.cc, through
// operations.h.
//
// A proxy must be a child of minod, so that minod reaps it. So a process in between forks once more
// and ends; minod, the reaper of its descendants (PR_SET_CHILD_SUBREAPER), inherits the grandchild.
// Rejected: clone(CLONE_PARENT), which bypasses what libc and the sanitizers do around a fork of a
// process with threads.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/random.h"
#include "channel/session_memory.h"
#include "channel/session_socket.h"
#include "engine/native/control.h"
#include "engine/native/operations.h"
#include "engine/native/proxy.h"
#include "engine/native/setup.h"
#include "engine/native/undisturbed.h"

namespace mino {

namespace {

// What the new proxy starts with. All of these are temporaries of the parent's lane file table.
struct Heritage {
  Fd socket;      // the device's end of the new session's socket
  Fd client_end;  // goes to the client
  Fd minod;
  SessionMemory memory;
  Fd report, answer;  // pipe: the child's errno, or 0, in one byte
};

bool prepare(const Proxy& proxy, Heritage& to) {
  int pair[2], pipe[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  to.socket = Fd(pair[0]);
  to.client_end = Fd(pair[1]);
  if (::pipe2(pipe, O_CLOEXEC) != 0) return false;
  to.answer = Fd(pipe[0]);
  to.report = Fd(pipe[1]);
  to.minod = Fd(proxy.pull(proxy.control.minod));
  if (!to.minod.valid() || !report_senders(to.socket.get())) return false;
  auto memory =
      SessionMemory::create(random_id(), proxy.memory.lane_count(), proxy.memory.arena_bytes());
  if (!memory) return false;
  to.memory = std::move(*memory);
  return true;
}

bool refuse(const Proxy& proxy) {
  const Fd socket(proxy.pull(proxy.control.socket));
  return refuse_child(socket.get(), *proxy.stats_table, *proxy.stats);
}

// In the child. `parent` is this process's copy of its parent's Proxy. The objects that make sense
// only there stay where they are, unused.
[[noreturn]] void become_proxy(Proxy& parent, Heritage& heritage) {
  const auto report = [&heritage](int error) {
    const char byte = static_cast<char>(error);
    (void)!::write(heritage.report.get(), &byte, 1);
  };
  const auto fail = [&report](int error) {
    report(error);
    ::_exit(kOutOfResources);
  };
  if (!prepare_process()) fail(EAGAIN);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The mapping did not come along (session_memory.h).
  const SessionMemory& made = heritage.memory;
  auto memory = SessionMemory::map(Fd(made.object()), made.session_id(), made.lane_count(),
                                   made.arena_bytes());
  heritage.memory.forget();
  SessionStats* row = claim_child_row(*parent.stats_table, *parent.stats, made.session_id());
  if (!memory || row == nullptr) fail(EAGAIN);
  auto& proxy = *new Proxy(parent.files);
  proxy.memory = std::move(*memory);
  proxy.stats = row;
  proxy.stats_table = parent.stats_table;
  proxy.socket_path = parent.socket_path;
  if (!proxy.root.start(true)) fail(EAGAIN);
  close_others(
      {heritage.socket.get(), heritage.minod.get(), heritage.report.get(), proxy.memory.object()},
      0);
  heritage.client_end.release();
  heritage.answer.release();
  auto& control = *new Control(proxy, std::move(heritage.socket), std::move(heritage.minod), Fd());
  if (!control.valid()) fail(EAGAIN);
  report(0);
  heritage.report.reset();
  ::_exit(control.run());
}

// Forks twice. Returns when the new proxy runs: 0, or -errno.
int64_t fork_twice(Proxy& proxy, Heritage& heritage) {
  const pid_t between = ::fork();
  if (between < 0) return -errno;
  if (between == 0) {
    const pid_t self = ::getpid();
    const pid_t child = ::fork();
    if (child != 0) ::_exit(child > 0 ? 0 : errno);
    while (::getppid() == self) ::sched_yield();
    become_proxy(proxy, heritage);
  }
  heritage.report.reset();
  int status = 0;
  while (::waitpid(between, &status, __WALL) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status)) return -EAGAIN;
  if (WEXITSTATUS(status) != 0) return -WEXITSTATUS(status);
  char error = 0;
  if (::read(heritage.answer.get(), &error, 1) != 1) return -EAGAIN;
  return -static_cast<int64_t>(error);
}

int64_t announce(const Proxy& proxy, const Heritage& heritage) {
  const Fd socket(proxy.pull(proxy.control.socket));
  if (!socket.valid()) return -EAGAIN;
  return announce_child(socket.get(), heritage.memory, heritage.client_end.get()) ? 0 : -EAGAIN;
}

}  // namespace

int64_t fork_proxy(Proxy& proxy) {
  Undisturbed undisturbed;
  // Growth at this moment would leave the copy of the file table half grown.
  proxy.files.enter();
  int64_t result = -EMFILE;
  if (refuse(proxy)) {
    result = -EAGAIN;
  } else {
    Heritage heritage;
    if (prepare(proxy, heritage)) result = fork_twice(proxy, heritage);
    if (result == 0) result = announce(proxy, heritage);
    // On failure, the socket closes here, and with it the new proxy ends.
  }
  proxy.files.leave();
  return result;
}

}  // namespace mino
