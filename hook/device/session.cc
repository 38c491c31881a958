// SPDX-License-Identifier: Apache-2.0
//
// Control connection, session memory and lanes of one process. See hook/device/session.h and
// abi/message.h.
#include "hook/device/session.h"

#include "hook/base/mem.h"
#include "hook/base/proc.h"
#include "hook/device/call.h"
#include "hook/device/sharing.h"

namespace mino::hook {

namespace {

constexpr u64 kCloexec = 0x80000;
constexpr u64 kFGetFd = 1, kFSetFd = 2, kFDupFdCloexec = 1030;
constexpr u64 kPollHup = 0x10, kPollErr = 8;

struct MsgHdr {
  u64 name;
  u32 namelen, pad;
  u64 iov, iovlen, control, controllen;
  u32 flags, pad2;
};
struct Iov {
  const void* base;
  u64 len;
};
struct Control {  // cmsghdr with up to two descriptors
  u64 len;
  int level, type;
  int fds[4];
};

}  // namespace

void set_receive_timeout(int fd, i64 seconds) {
  const i64 value[2] = {seconds, 0};
  constexpr long kSetsockopt = 54;
  raw(kSetsockopt, static_cast<u64>(fd), 1, 20, ptr(value), sizeof value);
}

bool receive_message(int socket, abi::Message& message, int* fds, int want) {
  Iov iov{&message, sizeof message};
  Control control{};
  MsgHdr header{};
  header.iov = ptr(&iov);
  header.iovlen = 1;
  header.control = ptr(&control);
  header.controllen = sizeof control;
  constexpr u64 kMsgCmsgCloexec = 0x40000000;
  long got;
  do got = raw(nr::kRecvmsg, static_cast<u64>(socket), ptr(&header), kMsgCmsgCloexec);
  while (got == err::kIntr);
  int count = 0;
  if (!is_error(got) && header.controllen >= 16 && control.level == 1 && control.type == 1) {
    count = static_cast<int>((control.len - 16) / 4);
  }
  const bool good =
      got == sizeof message && message.magic == abi::Message::kMessageMagic && count == want;
  if (got != sizeof message) message.type = {};
  for (int i = 0; i < count; i++) {
    if (good) {
      fds[i] = control.fds[i];
    } else {
      raw(nr::kClose, static_cast<u64>(control.fds[i]));
    }
  }
  return good;
}

namespace {

// The answer to a question; one that came too late for its own question is passed over.
bool await_message(const Session& session, abi::MessageType type, abi::Message& message, int* fds,
                   int want) {
  set_receive_timeout(session.socket, 10);
  bool good;
  do {
    good = receive_message(session.socket, message, fds, want);
    if (message.type == type) break;
    for (int i = 0; good && i < want; i++) raw(nr::kClose, static_cast<u64>(fds[i]));
    good = false;
  } while (message.type != abi::MessageType{});
  set_receive_timeout(session.socket, 0);
  return good;
}

// Maps session memory and checks its header against what the message said.
bool map_session(Session& session, const abi::Message& message, int memory_fd) {
  if (message.version != abi::kVersion || message.lane_count == 0 ||
      message.lane_count > abi::kMaxLanes || message.arena_bytes < abi::kMinArenaBytes ||
      message.arena_bytes > abi::kMaxArenaBytes) {
    return false;
  }
  session.lane_count = message.lane_count;
  session.arena_bytes = message.arena_bytes;
  session.id = message.session_id;
  session.memory_bytes = abi::session_bytes(message.lane_count, message.arena_bytes);
  // The object must be as large as it says and stay so, or a peer could make us fault.
  constexpr u64 kFGetSeals = 1034, kSealShrink = 2;
  const long seals = raw(nr::kFcntl, static_cast<u64>(memory_fd), kFGetSeals);
  const long size = raw(nr::kLseek, static_cast<u64>(memory_fd), 0, 2);
  if (is_error(seals) || !(static_cast<u64>(seals) & kSealShrink) ||
      size < static_cast<long>(session.memory_bytes)) {
    return false;
  }
  const long p = raw(nr::kMmap, 0, session.memory_bytes, 3, 1, static_cast<u64>(memory_fd), 0);
  if (is_error(p)) return false;
  session.memory = reinterpret_cast<u8*>(p);
  mino_paths_matter = 1;
  auto* header = reinterpret_cast<const abi::SessionHeader*>(session.memory);
  return header->magic == abi::kMagic && header->version == abi::kVersion;
}

int make_placeholder(u64 session_id) {
  char name[40];
  char* end = print(name, "mino:");
  end = print_number(end, session_id);
  *end = 0;
  constexpr u64 kMfdCloexec = 1, kMfdAllowSealing = 2, kFAddSeals = 1033, kAllSeals = 15;
  const long fd = raw(nr::kMemfdCreate, ptr(name), kMfdCloexec | kMfdAllowSealing);
  // Who gets one and is not under mino finds an empty file that cannot be written to.
  if (!is_error(fd)) raw(nr::kFcntl, static_cast<u64>(fd), kFAddSeals, kAllSeals);
  if (!settings.preload || is_error(fd)) return static_cast<int>(fd);
  // This tier misses calls of this program, too: a read shall be an error, not the end of a file.
  char link[40];
  *print_number(print(link, "/proc/self/fd/"), static_cast<u64>(fd)) = 0;
  constexpr u64 kWriteOnly = 1;
  const long closed = raw(nr::kOpen, ptr(link), kWriteOnly | kCloexec);
  if (is_error(closed)) return static_cast<int>(fd);
  raw(nr::kClose, static_cast<u64>(fd));
  return static_cast<int>(closed);
}

// What a refusal says, on standard error.
void tell_refusal(const abi::Message& message) {
  char line[sizeof message.text + 16];
  char* end = print(line, "mino: ");
  for (u64 i = 0; i < sizeof message.text && message.text[i]; i++) *end++ = message.text[i];
  *end++ = '\n';
  raw(nr::kWrite, 2, ptr(line), static_cast<u64>(end - line));
}

// Hello, Welcome. Leaves the session kLive or kNone; a refusal is told once on standard error.
bool connect_session(Process* process) {
  Session& session = process->session();
  struct {
    u16 family;
    char path[108];
  } address{1, {}};
  copy(address.path, settings.socket_path, sizeof address.path);
  const long fd = raw(nr::kSocket, 1, 5 | kCloexec, 0);  // AF_UNIX, SOCK_SEQPACKET
  if (is_error(fd)) return false;
  session.socket = make_private(process, static_cast<int>(fd));
  const u64 s = static_cast<u64>(session.socket);
  mark_control(session.socket);
  set_receive_timeout(session.socket, 10);
  abi::Message message;
  message.type = abi::MessageType::kHello;
  message.arena_bytes = settings.arena_bytes;
  message.turn = settings.instance + 1;
  constexpr u64 kPrGetName = 16;
  raw(nr::kPrctl, kPrGetName, ptr(message.text));
  int memory = -1;
  bool good = raw(nr::kConnect, s, ptr(&address), sizeof address) == 0 &&
              send_message(session, message) &&
              receive_message(session.socket, message, &memory, 1) &&
              message.type == abi::MessageType::kWelcome && map_session(session, message, memory);
  if (memory >= 0) raw(nr::kClose, static_cast<u64>(memory));
  if (good) {
    const int placeholder = make_placeholder(session.id);
    good = placeholder >= 0;
    if (good) session.placeholder = make_private(process, placeholder);
  }
  if (!good) {
    if (message.type == abi::MessageType::kRefuse) tell_refusal(message);
    close_private(process, session.socket);
    return false;
  }
  set_receive_timeout(session.socket, 0);
  return true;
}

// The device says why a child cannot have a session before it lets the fork fail. Told once.
void tell_why_no_child(const Session& session) {
  static bool told;
  constexpr short kPollIn = 1;
  struct {
    int fd;
    short events, revents;
  } p{session.socket, kPollIn, 0};
  abi::Message message;
  if (raw(nr::kPoll, ptr(&p), 1, 0) != 1 || !(p.revents & kPollIn) ||
      !receive_message(session.socket, message, nullptr, 0) ||
      message.type != abi::MessageType::kRefuse || told)
    return;
  told = true;
  tell_refusal(message);
}

bool claim_lane(ThreadState* ts) {
  Session& session = ts->process->session();
  for (u32 i = 0; i < session.lane_count; i++) {
    abi::LaneView lane = abi::LaneView::at(session.memory, i, session.arena_bytes);
    u32 free = static_cast<u32>(abi::LaneState::kFree);
    const u32 owned = static_cast<u32>(abi::LaneState::kOwned) + ts->process->client;
    if (lane.control->state.load(std::memory_order_relaxed) != free ||
        !lane.control->state.compare_exchange_strong(free, owned)) {
      continue;
    }
    ts->lane = lane;
    ts->lane_index = i;
    return true;
  }
  return false;
}

// Waits until a lane thread serves the lane. Not a hot path: once per thread.
bool await_attached(Session& session, abi::LaneControl* control) {
  abi::Message message;
  if (control->attached.load(std::memory_order_acquire) == 0) {
    message.type = abi::MessageType::kAttachLane;
    message.lane = static_cast<u32>((reinterpret_cast<u8*>(control) - session.memory - abi::kPage) /
                                    abi::lane_stride(session.arena_bytes));
    if (!send_message(session, message)) return false;
  }
  while (control->attached.load(std::memory_order_acquire) == 0) {
    const i64 timeout[2] = {0, 50'000'000};
    raw(nr::kFutex, ptr(&control->attached), 0, 0, ptr(timeout));
    if (control->attached.load(std::memory_order_acquire) != 0) break;
    struct {
      int fd;
      short events, revents;
    } p{session.socket, 0, 0};
    if (raw(nr::kPoll, ptr(&p), 1, 0) > 0) return false;  // hung up
  }
  return true;
}

}  // namespace

bool send_message(const Session& session, const abi::Message& message, int fd, u64 flags) {
  Iov iov{&message, sizeof message};
  Control control{20, 1, 1, {fd}};  // SOL_SOCKET, SCM_RIGHTS
  MsgHdr header{};
  header.iov = ptr(&iov);
  header.iovlen = 1;
  if (fd >= 0) {
    header.control = ptr(&control);
    header.controllen = 24;
  }
  constexpr u64 kMsgNoSignal = 0x4000;
  long sent;
  do sent = raw(nr::kSendmsg, static_cast<u64>(session.socket), ptr(&header), flags | kMsgNoSignal);
  while (sent == err::kIntr);
  return sent == sizeof message;
}

int make_private(Process* process, int fd) {
  // Above the soft limit if possible: there no number of the application's is lost, and nothing it
  // counts changes.
  constexpr u64 kRlimitNofile = 7;
  u64 limit[2] = {1024, 1024};
  raw(nr::kPrlimit64, 0, kRlimitNofile, 0, ptr(limit));
  constexpr u64 kHighest = 4096;  // the kernel's table grows to the highest number in use
  const u64 from = limit[0] < kHighest ? limit[0] : kHighest;
  u64 raised[2] = {from + 64, limit[1] > from + 64 ? limit[1] : from + 64};
  const bool raise = limit[0] < from + 64;
  const bool did = raise && raw(nr::kPrlimit64, 0, kRlimitNofile, ptr(raised), 0) == 0;
  long moved =
      raw(nr::kFcntl, static_cast<u64>(fd), kFDupFdCloexec, did || !raise ? from : from - 16);
  if (did) raw(nr::kPrlimit64, 0, kRlimitNofile, ptr(limit), 0);
  if (is_error(moved)) {
    moved = fd;
    raw(nr::kFcntl, static_cast<u64>(fd), kFSetFd, 1);
  } else {
    raw(nr::kClose, static_cast<u64>(fd));
  }
  process->set_flags(static_cast<u64>(moved), kPrivate);
  return static_cast<int>(moved);
}

void learn_open_limit(Process* process) {
  constexpr u64 kRlimitNofile = 7;
  u64 limit[2] = {~0ull, ~0ull};
  raw(nr::kPrlimit64, 0, kRlimitNofile, 0, ptr(limit));
  process->open_limit = limit[0];
}

void close_private(Process* process, int& fd) {
  if (fd < 0) return;
  process->set_flags(static_cast<u64>(fd), 0);
  raw(nr::kClose, static_cast<u64>(fd));
  fd = -1;
}

namespace {

constexpr long kUmask = 95;

// The device makes files as this process would; what other threads make on the host meanwhile has
// its own mode. Without /proc, and under a seccomp filter that may not allow it, a umask can only
// be asked for by setting one.
void follow_umask(ThreadState* ts) {
  u64 mask;
  if (ts->filters || !read_status("\nUmask:\t", 8, mask)) {
    mask = static_cast<u64>(raw(kUmask, 077));
    raw(kUmask, mask);
  }
  const u64 args[6] = {mask};
  offload(ts, *abi::find_row(kUmask), args, -1, 0, kNoCancel);
}

}  // namespace

long ready(ThreadState* ts) {
  Session& session = ts->process->session();
  bool connected = false;
  u32 none = static_cast<u32>(SessionStatus::kNone);
  auto* status = reinterpret_cast<u32*>(&session.status);
  while (__atomic_load_n(status, __ATOMIC_ACQUIRE) != static_cast<u32>(SessionStatus::kLive)) {
    if (session.status == SessionStatus::kDead) return err::kNetDown;
    if (session.status == SessionStatus::kConnecting) {
      raw(nr::kSchedYield);
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
    if (!good) return err::kNetDown;
    connected = true;
  }
  if (ts->has_lane) return 0;
  if (!claim_lane(ts)) return err::kNoBufs;
  const bool fresh = ts->lane.control->attached.load(std::memory_order_acquire) == 0;
  if (!await_attached(session, ts->lane.control)) {
    session_died(session);
    return err::kNetDown;
  }
  ts->submit_position = ts->lane.control->submission_position.load(std::memory_order_acquire);
  ts->complete_position = ts->lane.control->completion_position.load(std::memory_order_acquire);
  ts->has_lane = true;
  if (connected) follow_umask(ts);
  if (fresh) ts->process->table()->lane_rights[ts->lane_index] = ts->process->table()->rights_turn;
  if (!lane_has_rights(ts)) follow_rights(ts);
  if (__atomic_load_n(&ts->process->unsettled, __ATOMIC_ACQUIRE)) settle_table(ts);
  return 0;
}

void release_lane(ThreadState* ts) {
  if (!ts->has_lane) return;
  ts->has_lane = false;
  close_private(ts->process, ts->bell);
  ts->bell_sent = false;
  if (ts->process->session().status != SessionStatus::kLive) return;
  ts->has_lane = true;
  offload_op(ts, abi::Op::kLaneExit, 0, 0, -1);
  ts->has_lane = false;
  ts->lane.control->state.store(static_cast<u32>(abi::LaneState::kFree), std::memory_order_release);
}

void session_died(Session& session) {
  __atomic_store_n(reinterpret_cast<u32*>(&session.status), static_cast<u32>(SessionStatus::kDead),
                   __ATOMIC_RELEASE);
}

long begin_fork(ThreadState* ts, bool& asked) {
  Process* process = ts->process;
  asked = false;
  if (process->session().status != SessionStatus::kLive) return 0;
  long result = ready(ts);
  if (result == 0) {
    lock_table(process->table(), process->table()->fork_lock);
    result = offload_op(ts, abi::Op::kFork, 0, 0, -1, kNoCancel);
    asked = result == 0;
    if (result == err::kAgain) tell_why_no_child(process->session());
    if (!asked) unlock(process->table()->fork_lock);
  }
  if (result == err::kNetDown || process->session().status == SessionStatus::kDead)
    return 0;  // dead: fork anyway
  return result == 0 ? 0 : err::kAgain;
}

void receive_fork(Process* process, ForkedSession& child) {
  child.present = false;
  child.session = Session{};
  child.session.socket = child.session.placeholder = -1;
  abi::Message message;
  int fds[2] = {-1, -1};
  if (await_message(process->session(), abi::MessageType::kChild, message, fds, 2) &&
      map_session(child.session, message, fds[1])) {
    child.session.socket = make_private(process, fds[0]);
    child.session.status = SessionStatus::kLive;
    child.present = true;
  } else if (fds[0] >= 0) {
    raw(nr::kClose, static_cast<u64>(fds[0]));
  }
  if (fds[1] >= 0) raw(nr::kClose, static_cast<u64>(fds[1]));
}

long prepare_fork(ThreadState* ts, ForkedSession& child) {
  Process* process = ts->process;
  bool asked;
  const long error = begin_fork(ts, asked);
  if (!asked) return error;
  receive_fork(process, child);
  unlock(process->table()->fork_lock);
  return child.present || process->session().status == SessionStatus::kDead ? 0 : err::kAgain;
}

void finish_fork_in_parent(Process* process, ForkedSession& child) {
  if (!child.present) return;
  close_private(process, child.session.socket);
  unmap_pages(child.session.memory, child.session.memory_bytes);
}

void finish_fork_in_child(ThreadState* ts, ForkedSession& child) {
  Process* process = ts->process;
  Session& session = process->session();
  ts->has_lane = false;
  if (ts->bell >= 0) close_private(process, ts->bell);
  ts->bell_sent = false;
  if (session.status == SessionStatus::kConnecting) session.status = SessionStatus::kNone;
  if (session.status != SessionStatus::kLive) return;
  const int placeholder = session.placeholder;
  close_private(process, session.socket);
  if (!process->shares_memory) unmap_pages(session.memory, session.memory_bytes);
  if (!child.present) {
    session_died(session);
    return;
  }
  session = child.session;
  session.placeholder = placeholder;  // only recognised by what it is a duplicate of
  mark_control(session.socket);
  abi::Message message;
  message.type = abi::MessageType::kAdopt;
  constexpr u64 kPrGetName = 16;
  raw(nr::kPrctl, kPrGetName, ptr(message.text));
  if (!send_message(session, message)) session_died(session);
}

bool announce_sharing(Process* process) {
  abi::Message message;
  message.type = abi::MessageType::kShare;
  lock_table(process->table(), process->table()->fork_lock);
  const bool good =
      send_message(process->session(), message) &&
      await_message(process->session(), abi::MessageType::kShare, message, nullptr, 0);
  unlock(process->table()->fork_lock);
  return good;
}

void remember_child(Process* process, long pid) {
  Children* const children = process->children;
  lock(children->lock);
  constexpr u32 kKnown = sizeof children->pids / sizeof *children->pids;
  if (children->count < kKnown) children->pids[children->count] = static_cast<int>(pid);
  children->count++;
  unlock(children->lock);
}

void await_end_of_child(ThreadState* ts, long pid) {
  Process* process = ts->process;
  Children* const children = process->children;
  constexpr u32 kKnown = sizeof children->pids / sizeof *children->pids;
  lock(children->lock);
  const u32 known = children->count < kKnown ? children->count : kKnown;
  u32 at = 0;
  while (at < known && children->pids[at] != pid) at++;
  bool ask = at < known;
  if (ask) {
    children->count--;
    children->pids[at] = children->pids[known - 1];
  } else if (children->count > kKnown) {
    ask = true;
  }
  unlock(children->lock);
  if (!ask || process->session().status != SessionStatus::kLive) return;
  lock_table(process->table(), process->table()->fork_lock);
  abi::Message message;
  message.type = abi::MessageType::kReaped;
  message.turn = static_cast<u32>(pid);
  if (send_message(process->session(), message))
    await_message(process->session(), abi::MessageType::kReaped, message, nullptr, 0);
  unlock(process->table()->fork_lock);
}

long fetch_mapping(ThreadState* ts, u64 fd, u64& bytes) {
  long result = ready(ts);
  if (result != 0) return result;
  Process* process = ts->process;
  lock_table(process->table(), process->table()->fork_lock);
  result = offload_op(ts, abi::Op::kMap, fd, 0, -1, kNoCancel);
  if (result == 0) {
    abi::Message message;
    int file = -1;
    const bool good =
        await_message(process->session(), abi::MessageType::kMapped, message, &file, 1);
    result = good ? file : err::kNoDev;
    bytes = message.session_id;
  }
  unlock(process->table()->fork_lock);
  return result;
}

long fetch_parcel(ThreadState* ts, u64 fd, u64& id) {
  if (const long error = ready(ts)) return error;
  Process* process = ts->process;
  lock_table(process->table(), process->table()->fork_lock);
  long result = offload_op(ts, abi::Op::kExport, fd, 0, -1);
  if (!is_error(result)) {
    id = static_cast<u64>(result);
    abi::Message message;
    int parcel = -1;
    const bool good =
        await_message(process->session(), abi::MessageType::kParcel, message, &parcel, 1);
    if (good) await_message(process->session(), abi::MessageType::kSettle, message, nullptr, 0);
    result = good ? parcel : err::kNFile;
  }
  unlock(process->table()->fork_lock);
  return result;
}

void keep_across_exec(Process* process, bool keep) {
  const Session& session = process->session();
  if (session.status != SessionStatus::kLive) return;
  raw(nr::kFcntl, static_cast<u64>(session.socket), kFSetFd, keep ? 0 : 1);
  raw(nr::kFcntl, static_cast<u64>(session.placeholder), kFSetFd, keep ? 0 : 1);
}

void reattach(ThreadState* ts, int socket, int placeholder) {
  Process* process = ts->process;
  Session& session = process->session();
  session.socket = socket;
  session.placeholder = placeholder;
  process->rights_changed = settings.rights_changed;
  process->table()->rights_turn = 1;  // older lanes may be there
  process->set_flags(static_cast<u64>(socket), kPrivate);
  process->set_flags(static_cast<u64>(placeholder), kPrivate);
  raw(nr::kFcntl, static_cast<u64>(socket), kFSetFd, 1);
  raw(nr::kFcntl, static_cast<u64>(placeholder), kFSetFd, 1);
  abi::Message message;
  message.type = abi::MessageType::kReattach;
  constexpr u64 kPrGetName = 16;
  raw(nr::kPrctl, kPrGetName, ptr(message.text));
  int memory = -1;
  const bool good = send_message(session, message) &&
                    await_message(session, abi::MessageType::kWelcome, message, &memory, 1) &&
                    map_session(session, message, memory);
  if (memory >= 0) raw(nr::kClose, static_cast<u64>(memory));
  session.status = good ? SessionStatus::kLive : SessionStatus::kDead;
  // Which numbers are ours: those the device has. Which of them survived: those the host still has.
  u8* bitmap = static_cast<u8*>(map_pages(abi::kMaxFd / 8));
  if (good && bitmap && ready(ts) == 0) {
    const long bytes = offload_op(ts, abi::Op::kListFds, ptr(bitmap), abi::kMaxFd / 8, -1);
    for (u64 fd = 0; bytes > 0 && fd < static_cast<u64>(bytes) * 8; fd++) {
      if (!(bitmap[fd / 8] & (1 << fd % 8))) continue;
      if (is_error(raw(nr::kFcntl, fd, kFGetFd))) {
        const u64 args[6] = {fd};
        offload(ts, *abi::find_row(nr::kClose), args, -1, 0, kNoCancel);
        continue;
      }
      // An epoll set is a real file here; everything else is a placeholder.
      constexpr u64 kFGetSeals = 1034;
      const bool is_memfd = !is_error(raw(nr::kFcntl, fd, kFGetSeals));
      process->set_flags(fd, is_memfd ? kOffloaded : kEpoll | kCompanion | kLocalMembers);
    }
  }
  if (bitmap) unmap_pages(bitmap, abi::kMaxFd / 8);
  if (good) follow_capabilities(ts);
  if (!good) {  // the device is gone: our numbers are the placeholder's duplicates
    constexpr long kFstat = 5;
    u64 mine[18]{}, other[18]{};
    raw(kFstat, static_cast<u64>(placeholder), ptr(mine));
    for (u64 fd = 0; fd < 65536; fd++) {
      if (process->fds[fd] || is_error(raw(kFstat, fd, ptr(other)))) continue;
      if (mine[0] == other[0] && mine[1] == other[1]) process->set_flags(fd, kOffloaded);
    }
  }
}

}  // namespace mino::hook
