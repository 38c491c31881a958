// SPDX-License-Identifier: Apache-2.0
#include "engine/native/execute.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "abi/new_file.h"
#include "abi/syscalls.h"
#include "engine/native/gadget.h"
#include "engine/native/proxy.h"
#include "engine/native/running_call.h"

namespace mino {

namespace {

using abi::Kind;
using abi::Print;
using abi::Route;
using abi::Row;

// Which arguments are descriptors, by row: bit i for argument i. The second one of epoll_ctl is a
// plain value for the hook.
constexpr auto kFdArguments = [] {
  std::array<uint8_t, abi::kSyscalls.size()> masks{};
  for (size_t row = 0; row < masks.size(); row++) {
    for (int i = 0; i < 6; i++) {
      const abi::Arg& arg = abi::kSyscalls[row].args[i];
      if (arg.kind == Kind::kFd || (arg.kind == Kind::kValue && arg.print == Print::kFd)) {
        masks[row] = static_cast<uint8_t>(masks[row] | 1u << i);
      }
    }
  }
  return masks;
}();

constexpr uint16_t kPrctl = 157;
constexpr uint16_t kCapset = 126;

// The only process attribute that decides what a mirrored setuid() leaves.
bool keeps_capabilities(const Row& row, const uint64_t args[6]) {
  return row.nr == kPrctl && static_cast<uint32_t>(args[0]) == PR_SET_KEEPCAPS;
}

// Calls that the kernel never restarts once a handler has run (signal(7)).
constexpr bool never_restarts(Route route) {
  return route == Route::kPoll || route == Route::kSelect || route == Route::kEpollWait;
}

int fd_of(uint64_t argument) {
  return static_cast<int>(static_cast<uint32_t>(argument));
}

}  // namespace

int64_t Executor::execute(const abi::CheckedSubmission& submission, uint32_t turn, Split& split) {
  const Row* row = abi::find_row(submission.nr);
  if (row == nullptr) return -ENOSYS;
  // The device has the kernel of the host: bpf(2) is called there.
  const bool local = abi::stays_on_host(row->route) || row->route == Route::kBpf;
  if (local && !keeps_capabilities(*row, submission.args)) return -ENOSYS;
  switch (row->route) {
    case Route::kClose:
      return close(fd_of(submission.args[0]), turn);
    case Route::kCloseRange:
      if (static_cast<uint32_t>(submission.args[0]) > static_cast<uint32_t>(submission.args[1]))
        return -EINVAL;
      if ((submission.args[2] & CLOSE_RANGE_CLOEXEC) == 0) {
        proxy_.files.close_range(static_cast<uint32_t>(submission.args[0]),
                                 static_cast<uint32_t>(submission.args[1]));
      }
      return 0;
    case Route::kDup:
      return duplicate(*row, submission);
    case Route::kFcntl: {
      const uint32_t command = static_cast<uint32_t>(submission.args[1]);
      if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return duplicate(*row, submission);
      break;
    }
    case Route::kSocket:
      if (fd_of(submission.args[0]) == AF_UNIX) return -EAFNOSUPPORT;
      break;
    case Route::kSocketPair:
      // Whatever could make a pair stays on the host. This only asks the kernel for the error.
      if (fd_of(submission.args[0]) == AF_UNIX) return -EAFNOSUPPORT;
      return -EOPNOTSUPP;
    case Route::kMirror:
      if (row->nr == kCapset) return set_capabilities(submission, split);
      return mirror(*row, submission, split);
    case Route::kGuard:
      return mirror(*row, submission, split);
    default:
      break;
  }
  if ((row->flags & abi::kMakesFd) != 0 || abi::makes_file(*row, submission.args))
    return make_file(*row, submission, turn, split);
  return generic(*row, submission, turn, split);
}

namespace {

// A number that holds no file of the client is replaced by one that holds no file at all. The
// kernel then says EBADF where it would have, and nowhere else: an absolute path needs no
// directory.
void hide_our_descriptors(const Row& row, const FileTable& files, uint64_t args[6]) {
  const uint8_t mask = kFdArguments[static_cast<size_t>(&row - abi::kSyscalls.data())];
  for (int i = 0; i < 6; i++) {
    if ((mask >> i & 1) == 0) continue;
    const int fd = fd_of(args[i]);
    if (fd != AT_FDCWD && !files.installed(fd)) args[i] = static_cast<uint32_t>(-1);
  }
}

}  // namespace

int64_t Executor::generic(const Row& row, const abi::CheckedSubmission& submission, uint32_t turn,
                          Split& split) {
  uint64_t args[6], local[6];
  std::copy_n(submission.args, 6, args);
  hide_our_descriptors(row, proxy_.files, args);
  Marshal marshal(scratch_);
  marshal.prepare(row, args, split, local);
  return marshal.finish(invoke(row, local, turn, false), split);
}

int64_t Executor::make_file(const Row& row, const abi::CheckedSubmission& submission, uint32_t turn,
                            Split& split) {
  const int number = submission.install_fd;
  if (number < 0) return -EINVAL;
  if (const int64_t room = proxy_.files.reserve(number); room < 0) return room;
  uint64_t args[6], local[6];
  std::copy_n(submission.args, 6, args);
  hide_our_descriptors(row, proxy_.files, args);
  Marshal marshal(scratch_);
  marshal.prepare(row, args, split, local);
  proxy_.files.enter();
  int64_t result = invoke(row, local, turn, true);
  if (result >= 0) {
    const int64_t installed = proxy_.files.install(static_cast<int>(result), number);
    result = installed < 0 ? installed : number;
    if (result >= 0 && abi::peels_off(row, args))
      std::memcpy(reinterpret_cast<char*>(local[3]) + abi::kPeeledAt, &number, sizeof number);
  }
  proxy_.files.leave();
  const int64_t finished = marshal.finish(result, split);
  // As for accept() with a bad address: the file was never there.
  if (result >= 0 && finished < 0) proxy_.files.close(number);
  return finished;
}

int64_t Executor::duplicate(const Row& row, const abi::CheckedSubmission& submission) {
  constexpr uint16_t kDup3 = 292;
  const int from = fd_of(submission.args[0]), to = submission.install_fd;
  if (!proxy_.files.installed(from)) return -EBADF;
  if (to < 0 || (row.nr == kDup3 && from == to)) return -EINVAL;
  if (const int64_t room = proxy_.files.reserve(to); room < 0) return room;
  proxy_.files.enter();
  const int64_t result = proxy_.files.duplicate(from, to);
  proxy_.files.leave();
  return result;
}

// Credentials belong to threads. The client changed those of this thread; lanes that begin later
// must start with the new ones.
int64_t Executor::mirror(const Row& row, const abi::CheckedSubmission& submission, Split& split) {
  uint64_t local[6];
  Marshal marshal(scratch_);
  marshal.prepare(row, submission.args, split, local);
  return marshal.finish(mirror(row.nr, local), split);
}

int64_t Executor::mirror(uint16_t nr, const uint64_t local[6]) {
  constexpr uint16_t kUmask = 95;  // shared by all threads of the proxy
  const int64_t result = mino_gadget(nr, local);
  if (result >= 0 && nr != kUmask) {
    if (!proxy_.shared.load(std::memory_order_acquire)) proxy_.root.mirror(nr, local);
    changed_credentials_ = true;
  }
  return result;
}

// The client may ask for capabilities that are of no use here, and which its proxy never had. Those
// are left out, so that what the client gave up is given up here as well.
int64_t Executor::set_capabilities(const abi::CheckedSubmission& submission, Split& split) {
  __user_cap_header_struct header{};
  if (split.copy_in(&header, submission.args[0], sizeof header) != sizeof header) return -EFAULT;
  __user_cap_data_struct wanted[2]{}, own[2]{};
  const size_t bytes = sizeof wanted[0] * (header.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2);
  if (split.copy_in(wanted, submission.args[1], bytes) != bytes) return -EFAULT;
  if (::syscall(SYS_capget, &header, own) != 0) return -errno;
  for (int i = 0; i < 2; i++) {
    wanted[i].permitted &= own[i].permitted;
    wanted[i].effective &= own[i].permitted;
    wanted[i].inheritable &= own[i].inheritable;
  }
  const uint64_t local[6] = {reinterpret_cast<uint64_t>(&header),
                             reinterpret_cast<uint64_t>(wanted)};
  return mirror(kCapset, local);
}

int64_t Executor::drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2]{};
  const uint64_t local[6] = {reinterpret_cast<uint64_t>(&header), reinterpret_cast<uint64_t>(none)};
  return mirror(kCapset, local);
}

// May wait for a lingering socket. A signal cuts that short, as on any Linux.
int64_t Executor::close(int number, uint32_t turn) {
  if (running_.begin(turn, RunningCall::Holds::kLingering)) proxy_.nudge_control();
  const int64_t result = proxy_.files.close(number);
  running_.end();
  return result;
}

int64_t Executor::invoke(const Row& row, const uint64_t local[6], uint32_t turn, bool makes_file) {
  if ((row.flags & abi::kMayBlock) == 0) {
    int64_t result;
    do result = mino_gadget(row.nr, local);
    while (result == kUndone);
    return result;
  }
  if (running_.begin(turn, makes_file ? RunningCall::Holds::kFile : RunningCall::Holds::kNothing))
    proxy_.nudge_control();
  int64_t result;
  bool cancelled;
  for (;;) {
    result = mino_gadget(row.nr, local);
    cancelled = running_.cancelled();
    // Nobody wants the call to end: it was kicked. If the kernel did not restart it (a socket with
    // a timeout), it has had no effect either.
    if (cancelled || (result != kUndone && result != -EINTR)) break;
    if (makes_file) {
      proxy_.files.leave();
      proxy_.files.enter();
    }
  }
  running_.end();
  if (!cancelled || (result != kUndone && result != -EINTR)) return result;
  if (never_restarts(row.route)) return abi::kErestartnohand;
  return result == kUndone ? abi::kErestartsys : result;
}

}  // namespace mino
