// SPDX-License-Identifier: Apache-2.0
//
// A client for tests of engines. It speaks session memory and control messages as hook/ does,
// without catching any call, so that every request can be made by hand, wrong ones included. The
// proxy is a forked child in a network namespace of its own (the native engine), or belongs to a
// device. Never linked into a program.
#pragma once

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <initializer_list>
#include <string>
#include <thread>

#include "abi/layout.h"
#include "abi/syscalls.h"
#include "abi/walk.h"
#include "channel/futex.h"
#include "channel/session_socket.h"
#include "engine/engine.h"

namespace mino::test {

struct Options {
  uint32_t lanes = 8;
  uint32_t arena_bytes = 1 << 20;
  bool windows = true;
  std::string exchange{};  // minod's socket
};

// Reads this process's own memory, without faulting.
inline uint64_t peek(void* to, uint64_t from, uint64_t n) {
  iovec local{to, n}, remote{reinterpret_cast<void*>(from), n};
  const ssize_t got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  return got < 0 ? 0 : static_cast<uint64_t>(got);
}
inline uint64_t poke(uint64_t to, const void* from, uint64_t n) {
  iovec local{const_cast<void*>(from), n}, remote{reinterpret_cast<void*>(to), n};
  const ssize_t put = ::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0);
  return put < 0 ? 0 : static_cast<uint64_t>(put);
}
// Copies page by page, so that a bad page ends the copy exactly there.
template <class Copy>
uint64_t by_page(uint64_t addr, uint64_t n, Copy copy) {
  uint64_t done = 0;
  while (done < n) {
    const uint64_t chunk = std::min(n - done, 4096 - ((addr + done) & 4095));
    const uint64_t got = copy(done, chunk);
    done += got;
    if (got < chunk) break;
  }
  return done;
}

// How many bytes from addr can be written. Writes back what is there, through memory that nobody
// else can change meanwhile.
inline uint64_t writable(uint64_t addr, uint64_t n) {
  return by_page(addr, n, [&](uint64_t off, uint64_t bytes) -> uint64_t {
    char page[4096];
    return peek(page, addr + off, bytes) == bytes ? poke(addr + off, page, bytes) : 0;
  });
}

inline uint64_t ptr(const void* p) {
  return reinterpret_cast<uint64_t>(p);
}

class Session;

// One lane, as the thread that owns it sees it.
class LaneClient {
 public:
  static constexpr int64_t kDied = INT64_MIN;

  LaneClient(Session& session, uint32_t index);

  // Makes a system call. Returns the result from the device, or kDied when the proxy has died.
  int64_t call(uint32_t nr, std::initializer_list<uint64_t> args, int install_fd = -1) {
    submit(abi::SubmissionKind::kCall, nr, args, install_fd, true);
    return wait();
  }
  int64_t op(abi::Op op, std::initializer_list<uint64_t> args = {}, int install_fd = -1) {
    submit(abi::SubmissionKind::kOp, static_cast<uint32_t>(op), args, install_fd, false);
    return wait();
  }

  uint32_t submit(abi::SubmissionKind kind, uint32_t nr, std::initializer_list<uint64_t> args,
                  int install_fd, bool windows);
  int64_t wait();
  bool poll_once(int64_t& result);

  abi::Submission& next() { return view.submissions[submitted % abi::kRingSlots]; }
  void publish();

  abi::LaneView view;
  uint32_t submitted = 0, completed = 0, upcalls = 0;
  uint32_t index;

 private:
  void serve(abi::CompletionKind kind, const abi::Extent& extent);

  Session& session_;
};

class Session {
 public:
  explicit Session(Options options = {}) : options(options) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
    stats_table = static_cast<StatsTable*>(::mmap(
        nullptr, sizeof(StatsTable), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    stats = stats_table->claim(1, ::getuid());
    Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const int client = ::getpid();
    proxy = ::fork();
    if (proxy == 0) {
      ::close(pair[0]);
      own_network();
      const rlimit files{abi::kMaxFd, abi::kMaxFd};  // as minod does
      ::setrlimit(RLIMIT_NOFILE, &files);
      stats->proxy_pid = ::getpid();
      SessionStart start;
      start.socket = Fd(pair[1]);
      start.minod = std::move(self);
      start.session_id = 0x1234567890abcdef;
      start.lane_count = options.lanes;
      start.arena_bytes = options.arena_bytes;
      start.client_pid = client;
      start.stats = stats;
      start.stats_table = stats_table;
      start.socket_path = options.exchange.c_str();
      ::_exit(make_native_engine()->serve(std::move(start)));
    }
    ::close(pair[1]);
    socket = Fd(pair[0]);
    welcome();
  }

  // A session of the device whose minod listens at `path`. Not live if minod refuses it.
  Session(Options wanted, const std::string& path) : options(std::move(wanted)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    socket = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror(path.c_str());
      std::abort();
    }
    abi::Message hello;
    hello.type = abi::MessageType::kHello;
    hello.lane_count = options.lanes;
    hello.arena_bytes = options.arena_bytes;
    std::strcpy(hello.text, "test");
    post_message(socket.get(), hello);
    welcome();
  }

  // A session that a fork made.
  Session(Options options, Fd child_socket, Fd memory, uint64_t id)
      : options(options), socket(std::move(child_socket)) {
    (void)id;
    map(std::move(memory));
  }

  ~Session() {
    socket.reset();
    if (proxy > 0) {
      // If a sanitizer has found something, the proxy ends with a status of its own.
      EXPECT_EQ(wait_for_end(), 0);
    }
    if (base) ::munmap(base, bytes);
    if (stats_table) ::munmap(stats_table, sizeof(StatsTable));
  }

  // Returns the proxy's wait status, after the session's end.
  int wait_for_end() {
    int status = -1;
    ::waitpid(proxy, &status, 0);
    proxy = -1;
    return status;
  }

  void welcome() {
    Incoming incoming = receive();
    if (incoming.message.type != abi::MessageType::kWelcome || incoming.file_count != 1) {
      std::fprintf(stderr, "no Welcome: %s\n", incoming.message.text);
      std::abort();
    }
    map(std::move(incoming.files[0]));
  }

  Incoming receive() { return receive_on(socket); }

  // What another client gets that has taken this client's socket and asks for file `number`.
  Incoming fetched_by_another(uint32_t number) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
    const Fd asker(pair[0]);
    EXPECT_TRUE(send(abi::MessageType::kFetch, 0, number, pair[1]));
    ::close(pair[1]);
    return receive_on(asker);
  }

  static Incoming receive_on(const Fd& from) {
    Incoming incoming;
    for (;;) {
      char byte;
      if (::recv(from.get(), &byte, 1, MSG_PEEK) < 0 && errno == EINTR) continue;
      const Arrival arrival = receive_message(from.get(), incoming);
      if (arrival == Arrival::kNothing) continue;
      if (arrival == Arrival::kBroken) incoming.message.type = {};
      return incoming;
    }
  }

  void map(Fd object) {
    if (base) ::munmap(base, bytes);
    bytes = abi::session_bytes(options.lanes, options.arena_bytes);
    base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, object.get(), 0);
    if (base == MAP_FAILED) std::abort();
  }

  bool send(abi::MessageType type, uint32_t lane = 0, uint32_t turn = 0, int file = -1) {
    abi::Message message;
    message.type = type;
    message.lane = lane;
    message.turn = turn;
    return file >= 0 ? post_message(socket.get(), message, {file})
                     : post_message(socket.get(), message);
  }

  Options options;
  Fd socket;
  void* base = nullptr;
  uint64_t bytes = 0;
  pid_t proxy = -1;
  StatsTable* stats_table = nullptr;
  SessionStats* stats = nullptr;

 private:
  static void own_network() {
    if (::unshare(CLONE_NEWNET) != 0) return;
    const int s = ::socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ::ioctl(s, SIOCSIFFLAGS, &request);
    ::close(s);
  }
};

inline LaneClient::LaneClient(Session& session, uint32_t lane)
    : view(abi::LaneView::at(session.base, lane, session.options.arena_bytes)),
      index(lane),
      session_(session) {
  *view.state = static_cast<uint32_t>(abi::LaneState::kOwned);
  if (view.control->attached.load() == 0) session.send(abi::MessageType::kAttachLane, lane);
  const timespec beat{0, 100'000'000};
  for (int i = 0; view.control->attached.load() == 0 && i < 100; i++)
    futex_wait(view.control->attached, 0, &beat);
  submitted = view.control->submission_position;
  completed = view.control->completion_position;
}

inline void LaneClient::publish() {
  abi::Submission& slot = next();
  submitted++;
  slot.turn.store(submitted, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  auto* header = static_cast<abi::SessionHeader*>(session_.base);
  if (header->device_sleeping.load(std::memory_order_relaxed) != abi::kAwake) {
    header->doorbell.fetch_add(1);
    futex_wake(header->doorbell);
  }
  if (view.control->device_sleeping.load(std::memory_order_relaxed) != abi::kAwake)
    futex_wake(slot.turn);
}

inline uint32_t LaneClient::submit(abi::SubmissionKind kind, uint32_t nr,
                                   std::initializer_list<uint64_t> args, int install_fd,
                                   bool windows) {
  abi::Submission& slot = next();
  slot.nr = nr;
  slot.install_fd = install_fd;
  slot.kind = static_cast<uint8_t>(kind);
  slot.flags = 0;
  slot.arch = static_cast<uint8_t>(abi::Arch::kX86_64);
  for (uint64_t& arg : slot.args) arg = 0;
  std::copy(args.begin(), args.end(), slot.args);
  slot.window_count = 0;
  const abi::Row* row = abi::find_row(nr);
  if (windows && session_.options.windows && row) {
    struct Reader {
      bool read(uint64_t addr, void* to, uint32_t n) { return peek(to, addr, n) == n; }
      int64_t string(uint64_t addr, uint32_t max) {
        for (uint32_t i = 0; i < max; i++) {
          char c;
          if (peek(&c, addr + i, 1) != 1) return -1;
          if (c == 0) return i + 1;
        }
        return max;
      }
    } reader;
    struct Sink {
      LaneClient& lane;
      abi::Submission& slot;
      uint64_t limit, used = 0;
      int32_t piece(const abi::Piece& piece) {
        if (slot.window_count == abi::kMaxWindows) return -2;
        uint64_t len = std::min(piece.len, limit - used);
        uint8_t* at = lane.view.arena + used;
        if (piece.dir & abi::kWindowIn) {
          len = by_page(piece.addr, len, [&](uint64_t off, uint64_t n) {
            return peek(at + off, piece.addr + off, n);
          });
        } else {
          len = writable(piece.addr, len);
        }
        if (len == 0) return 0;
        slot.windows[slot.window_count++] = {piece.addr, static_cast<uint32_t>(len),
                                             static_cast<uint32_t>(used) | piece.dir};
        used = std::min(limit, (used + len + 7) & ~uint64_t{7});
        return 0;
      }
    } sink{*this, slot,
           session_.options.arena_bytes - abi::upcall_reserve(session_.options.arena_bytes)};
    uint64_t registers[6]{};  // the slot may change under us: some tests scribble on it
    std::copy(args.begin(), args.end(), registers);
    abi::walk(*row, registers, reader, sink);
  }
  publish();
  return submitted;
}

inline void LaneClient::serve(abi::CompletionKind kind, const abi::Extent& e) {
  upcalls++;
  int64_t served = 0;
  uint8_t* at = view.arena + e.arena_off;
  switch (kind) {
    case abi::CompletionKind::kUpcallRead:
      served = static_cast<int64_t>(by_page(e.addr, e.len, [&](uint64_t off, uint64_t n) {
        return peek(at + off, e.addr + off, n);
      }));
      break;
    case abi::CompletionKind::kUpcallWrite:
      served = static_cast<int64_t>(by_page(e.addr, e.len, [&](uint64_t off, uint64_t n) {
        return poke(e.addr + off, at + off, n);
      }));
      break;
    case abi::CompletionKind::kUpcallString:
      while (served < e.len && peek(at + served, e.addr + static_cast<uint64_t>(served), 1) == 1) {
        if (at[served++] == 0) break;
      }
      break;
    case abi::CompletionKind::kUpcallProbe:
      served = static_cast<int64_t>(writable(e.addr, e.len));
      break;
    default:
      break;
  }
  if (served == 0 && e.len != 0) served = -EFAULT;
  submit(abi::SubmissionKind::kUpcallReply, 0, {static_cast<uint64_t>(served)}, -1, false);
}

// True when a call is done. Serves an upcall if there is one.
inline bool LaneClient::poll_once(int64_t& result) {
  abi::Completion& slot = view.completions[completed % abi::kRingSlots];
  if (slot.turn.load(std::memory_order_acquire) != completed + 1) return false;
  completed++;
  const auto kind = static_cast<abi::CompletionKind>(slot.kind);
  if (kind != abi::CompletionKind::kDone) {
    serve(kind, slot.extents[0]);
    return false;
  }
  result = slot.result;
  for (uint16_t i = 0; i < slot.extent_count; i++) {
    const abi::Extent& e = slot.extents[i];
    if (poke(e.addr, view.arena + e.arena_off, e.len) != e.len) result = -EFAULT;
  }
  return true;
}

inline int64_t LaneClient::wait() {
  int64_t result = 0;
  for (uint64_t spins = 0;; spins++) {
    for (int i = 0; i < 64; i++) {
      if (poll_once(result)) return result;
    }
    if (spins < 16) continue;
    if (spins < 64) {
      ::sched_yield();
      continue;
    }
    abi::Completion& slot = view.completions[completed % abi::kRingSlots];
    const uint32_t alive = view.control->liveness.load();
    if (alive == 0 || (alive & FUTEX_OWNER_DIED) != 0) return kDied;
    view.control->client_sleeping.store(abi::kOnFutex, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const uint32_t seen = slot.turn.load(std::memory_order_acquire);
    if (seen != completed + 1) {
      futex_waitv waiters[2] = {{seen, ptr(&slot.turn), FUTEX_32, 0},
                                {alive, ptr(&view.control->liveness), FUTEX_32, 0}};
      ::syscall(SYS_futex_waitv, waiters, 2, 0, nullptr, 0);
    }
    view.control->client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  }
}

}  // namespace mino::test
