// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/pidfd_getfd.h. For an offloaded file of another process, the host kernel gives out
// the placeholder. A placeholder proves nothing: all placeholders of a program are one open file,
// and its children may have inherited it. The proof is the program's control connection, which is
// among its descriptors. The host kernel gives it out after the same check (PTRACE_MODE_ATTACH),
// and whoever has it may have the program's files. Over this connection the hook asks the other
// session for a parcel of the file, and imports it like one that was passed.
#include "hook/calls/pidfd_getfd.h"

#include "abi/parcel.h"
#include "hook/base/limits.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/epoll.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/calls/epoll_tags.h"
#include "hook/calls/handler.h"
#include "hook/calls/parcels.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/message.h"
#include "hook/state/filters.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

void close(long fd) {
  raw(__NR_close, static_cast<u64>(fd));
}

long open_for_reading(const ThreadState* ts, const char* path, u64 flags = 0) {
  if (ts->filters && !filters_allow_own(ts, __NR_openat, AT_FDCWD, ptr(path))) return -EPERM;
  return raw(__NR_openat, AT_FDCWD, ptr(path), flags | O_CLOEXEC, 0);
}

}  // namespace

u64 process_of(const ThreadState* ts, u64 pidfd) {
  char path[56], text[512];
  *print_number(print(path, "/proc/thread-self/fdinfo/"), pidfd) = 0;
  const long file = open_for_reading(ts, path);
  if (is_error(file)) return 0;
  const long got = raw(__NR_read, static_cast<u64>(file), ptr(text), sizeof text - 1);
  close(file);
  text[got > 0 ? got : 0] = 0;
  for (const char* at = text; *at; at++) {
    if (!starts_with(at, "\nPid:\t")) continue;
    at += 6;
    return *at >= '0' && *at <= '9' ? parse_number(at) : 0;
  }
  return 0;
}

namespace {

constexpr long kNone = -ENOENT;

bool out_of_numbers(long error) {
  return error == -EMFILE || error == -ENFILE;
}

// The control connection, if it has this number in the other process; else kNone or an error. The
// caller closes it.
long try_control(u64 pidfd, u64 number) {
  const long fd = raw(__NR_pidfd_getfd, pidfd, number, 0);
  if (is_error(fd)) return out_of_numbers(fd) ? fd : kNone;
  if (is_control(static_cast<u64>(fd))) return fd;
  close(fd);
  return kNone;
}

bool is_socket(const char* path) {
  char target[16]{};
  return raw(__NR_readlink, ptr(path), ptr(target), sizeof target - 1) > 0 &&
         starts_with(target, "socket:[");
}

// Only sockets are tried: closing a descriptor of a regular file would end this process's locks on
// that file.
long find_control(ThreadState* ts, u64 pidfd) {
  char path[64];
  const u64 pid = process_of(ts, pidfd);
  char* const name_at = print(print_number(print(path, "/proc/"), pid), "/fd/");
  *name_at = 0;
  const long directory = pid ? open_for_reading(ts, path, O_DIRECTORY) : -1;
  if (out_of_numbers(directory)) return directory;
  // Without /proc: most programs have it at the same number as this one.
  if (is_error(directory))
    return try_control(pidfd, static_cast<u64>(ts->process->session().socket));
  long found = kNone, bytes;
  alignas(8) u8 entries[2048];
  while (found == kNone && (bytes = raw(__NR_getdents64, static_cast<u64>(directory), ptr(entries),
                                        sizeof entries)) > 0) {
    u16 length;
    for (long at = 0; at < bytes && found == kNone; at += length) {
      constexpr long kLengthAt = 16, kNameAt = 19;  // struct linux_dirent64
      copy(&length, entries + at + kLengthAt, sizeof length);
      const char* name = reinterpret_cast<const char*>(entries + at + kNameAt);
      const u64 number = parse_number(name);  // 0 for "." and ".."
      *print_number(name_at, number) = 0;
      if (is_socket(path)) found = try_control(pidfd, number);
    }
  }
  close(directory);
  return found;
}

bool is_placeholder(u64 fd) {
  struct stat info;
  if (raw(__NR_fcntl, fd, F_GET_SEALS) != kAllSeals || raw(__NR_fstat, fd, ptr(&info)) != 0 ||
      info.st_size != 0)
    return false;
  char link[40], name[16]{};
  *print_number(print(link, "/proc/thread-self/fd/"), fd) = 0;
  const long known = raw(__NR_readlink, ptr(link), ptr(name), sizeof name - 1);
  return is_error(known) || starts_with(name, "/memfd:mino:");
}

// Whether a message can be sent without waiting for ever. What looks like a control connection may
// have been made by the program.
bool has_room(int control) {
  constexpr u64 kPatienceMs = 1'000;
  struct pollfd p{control, POLLOUT, 0};
  return raw(__NR_poll, ptr(&p), 1, kPatienceMs) == 1 && p.revents == POLLOUT;
}

// The error in an answer without a parcel. It must be one of the kernel's error numbers, whatever
// the other side has sent.
long refusal(const abi::Message& message) {
  constexpr u32 kLast = EHWPOISON;
  const bool known =
      message.type == abi::MessageType::kParcel && message.turn > 0 && message.turn <= kLast;
  return known ? -static_cast<long>(message.turn) : -ESRCH;
}

// Like fetch_parcel(), for descriptor `fd` of the other session, over its control connection.
long fetch_foreign_parcel(int control, u64 fd, u64& id) {
  int pair[2];
  const long error = raw(__NR_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ptr(pair));
  if (is_error(error)) return error;
  Session theirs{};
  theirs.socket = control;
  abi::Message message;
  message.type = abi::MessageType::kFetch;
  message.turn = static_cast<u32>(fd);
  const bool asked = has_room(control) && send_message(theirs, message, pair[1], MSG_DONTWAIT);
  raw(__NR_close, static_cast<u64>(pair[1]));
  set_receive_timeout(pair[0], 10);
  int parcel = -1;
  long result = -ESRCH;  // the process has ended meanwhile
  if (asked && receive_message(pair[0], message, &parcel, 1)) {
    id = message.session_id;
    result = parcel;
    receive_message(pair[0], message, nullptr, 0);  // Settle
  } else if (asked) {
    result = refusal(message);
  }
  raw(__NR_close, static_cast<u64>(pair[0]));
  return result;
}

// Imports file `number` of the other session as our number `fd`: 0 or the error.
long import_from(ThreadState* ts, int control, u64 number, u64 fd) {
  u64 id = 0;
  const long parcel = fetch_foreign_parcel(control, number, id);
  if (is_error(parcel)) return parcel;
  const long result = import_parcel(ts, fd, id);
  close(parcel);
  if (result == 0) offload_op(ts, abi::Op::kSettle, id, 0, -1);
  return result == -EBADF ? -EXDEV : result;  // it is on another device or in another instance
}

// Gives an epoll set that has been fetched the companion that the other session has for it, if it
// has one.
void import_companion(ThreadState* ts, u64 pidfd, u64 number, u64 fd) {
  const long control = find_control(ts, pidfd);
  if (is_error(control)) return;
  u64 id = 0;
  const long parcel = fetch_foreign_parcel(static_cast<int>(control), number, id);
  close(control);
  if (is_error(parcel)) return;
  if (offload_op(ts, abi::Op::kImport, id, 0, static_cast<int>(fd)) >= 0) {
    ts->process->set_flags(fd, kEpoll | kCompanion | kLocalMembers | kNestedMembers);
    shadow_begin(ts->process, static_cast<u32>(fd));
  }
  close(parcel);
  offload_op(ts, abi::Op::kSettle, id, 0, -1);
}

// `fd` is an epoll set that has been fetched. A tag tells what its companion is.
long fetched_set(ThreadState* ts, u64 pidfd, u64 number, u64 fd) {
  Process* const process = ts->process;
  drop_stale_fd(ts, fd);
  const LiftedLimits more(LiftedLimits::kNumbers);
  if (!read_tag(ts, fd) && ready(ts) == 0) import_companion(ts, pidfd, number, fd);
  if (!(process->flags(fd) & kCompanion)) adopt_epoll_set(ts, fd);
  // So that the other process finds what is registered here.
  send_epoll_set(ts, fd);
  const bool own = process_of(ts, pidfd) == static_cast<u64>(raw(__NR_getpid));
  if (own && (process->flags(number) & kEpoll)) process->add_flags(number, kLocalMembers);
  return static_cast<long>(fd);
}

}  // namespace

long do_pidfd_getfd(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 pidfd = static_cast<u32>(f.rdi), number = static_cast<u32>(f.rsi);
  const long result = raw(row.nr, f.rdi, f.rsi, f.rdx);
  if (is_error(result)) return result;
  const u64 fd = static_cast<u64>(result);
  if (is_control(fd)) {  // a descriptor of the hook in the other process
    close(result);
    return -EBADF;
  }
  if (is_epoll_file(fd)) return fetched_set(ts, pidfd, number, fd);
  if (!is_placeholder(fd)) {
    import_if_parcel(ts, fd, false);
    return result;
  }
  drop_stale_fd(ts, fd);
  const LiftedLimits more(LiftedLimits::kNumbers);
  long error = ready(ts);
  const long control = error ? error : find_control(ts, pidfd);
  if (is_error(control)) {
    // Without a session, the placeholder is of no use in the other process either.
    error = control == kNone ? 0 : control;
  } else {
    error = import_from(ts, static_cast<int>(control), number, fd);
    close(control);
  }
  if (error) close(result);
  return error ? error : result;
}

}  // namespace mino::hook
