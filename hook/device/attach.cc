// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/attach.h for what this does, and abi/message.h for the messages.
#include "hook/device/attach.h"

#include "hook/base/limits.h"
#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/proc.h"
#include "hook/base/uapi.h"
#include "hook/device/bell.h"
#include "hook/device/call.h"
#include "hook/device/credentials.h"
#include "hook/device/device_paths.h"
#include "hook/device/lanes.h"
#include "hook/device/message.h"
#include "hook/device/session_memory.h"
#include "hook/state/interruptible.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

int make_placeholder(u64 session_id) {
  char name[40];
  char* end = print(name, "mino:");
  end = print_number(end, session_id);
  *end = 0;
  constexpr u64 kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const long fd = raw(__NR_memfd_create, ptr(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  // A process that gets one and is not under mino finds an empty file that cannot be written to.
  if (!is_error(fd)) raw(__NR_fcntl, static_cast<u64>(fd), F_ADD_SEALS, kAllSeals);
  if (!settings.preload || is_error(fd)) return static_cast<int>(fd);
  // The preload tier misses some calls of its own program too. For those, a read must be an error,
  // not the end of a file.
  char link[40];
  *print_number(print(link, "/proc/self/fd/"), static_cast<u64>(fd)) = 0;
  const long closed = raw(__NR_open, ptr(link), O_WRONLY | O_CLOEXEC);
  if (is_error(closed)) return static_cast<int>(fd);
  raw(__NR_close, static_cast<u64>(fd));
  return static_cast<int>(closed);
}

// A socket that has been reset: ready for everything, with POLLERR and POLLHUP. It is made early,
// since later the program may have no numbers left; and by an ancestor, so that relatives with one
// epoll set register one file in it.
int make_broken() {
  int pair[2];
  if (is_error(raw(__NR_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ptr(pair)))) return -1;
  raw(__NR_write, static_cast<u64>(pair[0]), ptr(""), 1);
  raw(__NR_close, static_cast<u64>(pair[1]));  // with an unread byte: a reset
  return pair[0];
}

// Exchanges Hello and Welcome. A refusal is reported on standard error.
bool connect_session(Process* process) {
  const LiftedLimits more(LiftedLimits::kNumbers);
  Session& session = process->session();
  sockaddr_un address{AF_UNIX, {}};
  static_assert(sizeof address.sun_path == sizeof settings.socket_path);
  copy(address.sun_path, settings.socket_path, sizeof address.sun_path);
  const long fd = raw(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (is_error(fd)) return false;
  session.socket = make_private(process, static_cast<int>(fd));
  session.memory_fd = -1;
  const u64 s = static_cast<u64>(session.socket);
  mark_control(session.socket);
  set_receive_timeout(session.socket, 10);
  abi::Message message;
  message.type = abi::MessageType::kHello;
  message.arena_bytes = settings.arena_bytes;
  message.turn = settings.instance + 1;
  raw(__NR_prctl, PR_GET_NAME, ptr(message.text));
  int memory = -1;
  bool good = raw(__NR_connect, s, ptr(&address), sizeof address) == 0 &&
              send_message(session, message) &&
              receive_message(session.socket, message, &memory, 1) &&
              message.type == abi::MessageType::kWelcome &&
              take_memory(process, session, message, memory) && map_session(session);
  if (good) {
    const int placeholder = make_placeholder(session.id);
    good = placeholder >= 0;
    if (good) session.placeholder = make_private(process, placeholder);
    const int broken = good ? make_broken() : -1;
    good &= broken >= 0;
    if (good) session.broken = make_private(process, broken);
  }
  if (!good) {
    if (message.type == abi::MessageType::kRefuse) tell_refusal(message);
    close_private(process, session.socket);
    close_private(process, session.placeholder);
    close_private(process, session.memory_fd);
    return false;
  }
  set_receive_timeout(session.socket, 0);
  return true;
}

// Gives the device this process's umask, so that files made there get the right mode. Without
// /proc, or under a seccomp filter that may forbid reading it, the umask can only be read by
// setting it: another thread may create a file on the host meanwhile, with a wrong mode.
void follow_umask(ThreadState* ts) {
  u64 mask;
  if (ts->filters || !read_status("\nUmask:\t", 8, mask)) {
    mask = static_cast<u64>(raw(__NR_umask, 077));
    raw(__NR_umask, mask);
  }
  device_call(ts, __NR_umask, mask);
}

// Closes on the device what other threads closed on the host after the device had copied the table,
// before a new file needs one of these numbers.
void settle_table(ThreadState* ts) {
  Process* const process = ts->process;
  // Another thread that gets here with its first call must wait: what it opened now would be
  // closed.
  lock_table(process->table(), process->table()->fork_lock);
  u8* const bitmap = process->unsettled ? static_cast<u8*>(map_pages(abi::kMaxFd / 8)) : nullptr;
  const long bytes =
      bitmap ? offload_op(ts, abi::Op::kListFds, ptr(bitmap), abi::kMaxFd / 8, -1, kNoCancel) : 0;
  for (u64 fd = 0; bytes > 0 && fd < static_cast<u64>(bytes) * 8; fd++) {
    if (!(bitmap[fd / 8] & (1 << fd % 8)) || (process->flags(fd) & (kOffloaded | kCompanion)))
      continue;
    device_call(ts, __NR_close, fd);
  }
  if (bitmap) unmap_pages(bitmap, abi::kMaxFd / 8);
  __atomic_store_n(&process->unsettled, false, __ATOMIC_RELEASE);
  unlock(process->table()->fork_lock);
}

}  // namespace

namespace {

// Others have the lane meanwhile.
long wait_for_turn(ThreadState* ts) {
  constexpr i64 kPause = 50'000'000;  // ns
  give_lane_back(ts);
  const i64 time[2] = {0, kPause};
  const u64 args[6] = {0, 0, ptr(time), 0, 8};
  mino_interruptible(ts, __NR_ppoll, args);
  return ready(ts);
}

}  // namespace

long ready(ThreadState* ts) {
  Session& session = ts->process->session();
  bool connected = false;
  u32 none = static_cast<u32>(SessionStatus::kNone);
  auto* status = reinterpret_cast<u32*>(&session.status);
  while (__atomic_load_n(status, __ATOMIC_ACQUIRE) != static_cast<u32>(SessionStatus::kLive)) {
    if (session.status == SessionStatus::kDead) return -ENETDOWN;
    if (session.status == SessionStatus::kConnecting) {
      raw(__NR_sched_yield);
      continue;
    }
    none = static_cast<u32>(SessionStatus::kNone);
    if (!__atomic_compare_exchange_n(status, &none, static_cast<u32>(SessionStatus::kConnecting),
                                     false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      continue;
    }
    const bool good = connect_session(ts->process);
    __atomic_store_n(status, static_cast<u32>(good ? SessionStatus::kLive : SessionStatus::kNone),
                     __ATOMIC_RELEASE);
    if (!good) return -ENETDOWN;
    connected = true;
  }
  if (ts->has_lane && resume_lane(ts)) return ts->turn_over ? wait_for_turn(ts) : 0;
  bool fresh;
  next_turn = wait_for_turn;
  if (const long error = take_lane(ts, fresh)) return error;
  if (connected) follow_umask(ts);
  if (fresh)
    ts->process->table()->lane_credentials[ts->lane_index] = ts->process->table()->credentials_turn;
  if (!lane_has_credentials(ts)) follow_credentials(ts);
  if (__atomic_load_n(&ts->process->unsettled, __ATOMIC_ACQUIRE)) settle_table(ts);
  return 0;
}

void release_lane(ThreadState* ts) {
  if (ts->has_lane && resume_lane(ts)) give_lane_back(ts);
  close_private(ts->process, ts->bell);
  close_private(ts->process, ts->watch);
}

void keep_across_exec(Process* process, bool keep) {
  const Session& session = process->session();
  if (session.status != SessionStatus::kLive) return;
  for (int fd : {session.socket, session.placeholder, session.broken})
    raw(__NR_fcntl, static_cast<u64>(fd), F_SETFD, keep ? 0 : FD_CLOEXEC);
}

namespace {

bool rejoin_session(Process* process, abi::Message& message) {
  const LiftedLimits more(LiftedLimits::kNumbers);
  Session& session = process->session();
  int memory = -1;
  return send_message(session, message) &&
         await_message(session, abi::MessageType::kWelcome, message, &memory, 1) &&
         take_memory(process, session, message, memory) && map_session(session);
}

}  // namespace

void reattach(ThreadState* ts, int socket, int placeholder, int broken, bool directory) {
  Process* process = ts->process;
  Session& session = process->session();
  session.socket = socket;
  session.placeholder = placeholder;
  session.broken = broken;
  session.memory_fd = -1;
  process->credentials_changed = settings.credentials_changed;
  process->own_users = settings.own_users;
  process->table()->credentials_turn = 1;  // there may be older lanes
  for (int fd : {socket, placeholder, broken}) {
    process->set_flags(static_cast<u64>(fd), kPrivate);
    raw(__NR_fcntl, static_cast<u64>(fd), F_SETFD, FD_CLOEXEC);
  }
  abi::Message message;
  message.type = abi::MessageType::kReattach;
  raw(__NR_prctl, PR_GET_NAME, ptr(message.text));
  const bool good = rejoin_session(process, message);
  session.status = good ? SessionStatus::kLive : SessionStatus::kDead;
  // Our numbers are those that the device has. Those that survived exec are still open on the host.
  u8* bitmap = static_cast<u8*>(map_pages(abi::kMaxFd / 8));
  if (good && bitmap && ready(ts) == 0) {
    const long bytes = offload_op(ts, abi::Op::kListFds, ptr(bitmap), abi::kMaxFd / 8, -1);
    for (u64 fd = 0; bytes > 0 && fd < static_cast<u64>(bytes) * 8; fd++) {
      if (!(bitmap[fd / 8] & (1 << fd % 8))) continue;
      if (is_error(raw(__NR_fcntl, fd, F_GETFD))) {
        device_call(ts, __NR_close, fd);
        continue;
      }
      // An epoll set is a real file on the host; everything else is a placeholder.
      const bool is_memfd = !is_error(raw(__NR_fcntl, fd, F_GET_SEALS));
      process->set_flags(
          fd, is_memfd ? kOffloaded | kMaybeNetlink : kEpoll | kCompanion | kLocalMembers);
      note_socket_timeouts();  // a file may have some
    }
  }
  if (bitmap) unmap_pages(bitmap, abi::kMaxFd / 8);
  if (good && ready(ts) == 0) {
    follow_capabilities(ts);
    if (directory) learn_offloaded_directory(ts);
  }
  if (!good) {  // the device is gone: our numbers are those that duplicate the placeholder
    struct stat mine{}, other{};
    raw(__NR_fstat, static_cast<u64>(placeholder), ptr(&mine));
    for (u64 fd = 0; fd < 65536; fd++) {
      if (process->fds[fd] || is_error(raw(__NR_fstat, fd, ptr(&other)))) continue;
      if (mine.st_dev == other.st_dev && mine.st_ino == other.st_ino)
        process->set_flags(fd, kOffloaded);
    }
  }
}

}  // namespace mino::hook
