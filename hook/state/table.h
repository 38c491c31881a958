// SPDX-License-Identifier: Apache-2.0
//
// A descriptor table: what each number means, and the session that serves it. Whoever changes an
// entry must hold a TableChange.
#pragma once

#include "abi/limits.h"
#include "hook/base/raw.h"
#include "hook/base/uapi.h"

namespace mino::hook {

enum FdFlags : u8 {
  kOffloaded = 1,       // the file is on the device; the number is a placeholder on the host
  kEpoll = 2,           // an epoll set on the host
  kCompanion = 4,       // an epoll set with a companion of the same number on the device
  kLocalMembers = 8,    // an epoll set that has (had) members on the host
  kPrivate = 16,        // the hook's own; the program must not see it
  kNestedMembers = 64,  // an epoll set that has (had) epoll sets as members
  kSignals = 128,       // a signalfd whose records may need restore_code()
  kFarDirectory = 32,  // a local directory from which no offloaded prefix is reachable without ".."
  // With kOffloaded, two of these mean something else:
  kMaybeNetlink = kSignals,       // a netlink socket, or not known to be none
  kBoundNetlink = kFarDirectory,  // a netlink socket with a port id
};

enum class SessionStatus : u32 { kNone, kConnecting, kLive, kDead };

struct Session {
  SessionStatus status;
  u32 lane_count;
  u32 arena_bytes;
  int socket;       // the control connection (private)
  int placeholder;  // a memfd; offloaded numbers are duplicates of it (private)
  int broken;       // a socket that takes its place when the device has died (private)
  int memory_fd;    // session memory (private): threads map their lanes (hook/device/lanes.h)
  u8* memory;       // its header
  u64 id;
};

// A descriptor table: its session and, behind this structure, FdFlags and epoll_waiters by number.
// Threads share it. Processes made with CLONE_FILES share it too; then it is shared memory at the
// same address in each of them (hook/device/sharing.h).
struct Table {
  u32 fd_limit;          // no number from here on was ever flagged
  u32 fork_lock;         // one conversation at a time on the control socket
  u32 kick_lock;         // hook/calls/epoll.cc
  u32 companion_lock;    // held across epoll_create1 on the device, which does not block
  int kick_fd;           // an eventfd (private), or -1; hook/calls/epoll.cc
  u32 dead_reports;      // hook/calls/dead_files.h
  bool buried;           // the device is dead, and hook/calls/dead_files.cc has seen to it
  u32 clients;           // how many processes have ever joined the first one
  bool shared;           // with other processes, and the device knows
  bool mapped;           // this is shared memory
  u64 signalfd_signals;  // of kSynchronous, that any signalfd of this table was made for
  u32 credentials_turn;  // counts changes of credentials
  u32 lane_credentials[abi::kMaxLanes];  // the count when the lane was made
  Session session;
};
inline constexpr u64 kTableHead = 12288;
inline constexpr u64 kTableBytes = kTableHead + 3 * u64{abi::kMaxFd};  // committed as touched
static_assert(sizeof(Table) <= kTableHead);

// Held while an entry of a table changes. Nobody holds one while a table moves into memory that
// processes share (hook/device/sharing.cc).
class TableChange {
 public:
  TableChange() {
    while (__atomic_fetch_add(&changes, 1u, __ATOMIC_SEQ_CST),
           __atomic_load_n(&moving, __ATOMIC_SEQ_CST)) {
      __atomic_fetch_sub(&changes, 1u, __ATOMIC_SEQ_CST);
      raw(__NR_sched_yield);
    }
  }
  ~TableChange() { __atomic_fetch_sub(&changes, 1u, __ATOMIC_SEQ_CST); }
  TableChange(const TableChange&) = delete;
  TableChange& operator=(const TableChange&) = delete;

  static void stop() {
    __atomic_store_n(&moving, 1u, __ATOMIC_SEQ_CST);
    // A child that shared our memory may have died holding one.
    constexpr int kPatience = 1'000'000;
    for (int i = 0; i < kPatience && __atomic_load_n(&changes, __ATOMIC_SEQ_CST); i++)
      raw(__NR_sched_yield);
  }
  static void go_on() { __atomic_store_n(&moving, 0u, __ATOMIC_SEQ_CST); }
  static void reset() { changes = moving = 0; }

 private:
  static u32 changes, moving;
};

// Makes `to` the table of a process with a copy of the descriptors.
void copy_table(Table* to, const Table* from);
void reset_table(Table* table);  // in a copy: no lock is held, nobody shares it

// The device is gone: calls fail from now on.
void session_died(Session& session);

// Takes one of the table's locks; unlock() of hook/base/lock.h gives it back. If a process died
// with the lock, it is taken over.
void lock_table(const Table* table, u32& word);

}  // namespace mino::hook
