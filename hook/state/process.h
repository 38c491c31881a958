// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows about one process: its descriptor table, its signal actions, its directory.
// There is one Process per process, one more for each child that shares our memory, and one for
// each thread that has unshared the descriptor table. Threads reach theirs through
// ThreadState::process.
#pragma once

#include "hook/state/table.h"

namespace mino::hook {

struct SigAction {  // the kernel's struct sigaction
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

struct Directory {
  char path[4096];  // where relative paths start, or "" when not known
  bool offloaded;
  bool near;  // an offloaded prefix is below it or at it
};

struct Children {
  u32 lock;
  u32 count;     // children born with a session and not waited for yet
  int pids[64];  // the first 64 of them; if there are more, any child may have a session
};

struct Process {
  u16* epoll_waiters;    // threads in epoll_wait on the host, by epoll fd
  u8* fds;               // FdFlags by number, kMaxFd bytes; both are in table()
  SigAction* actions;    // these three are our own, below, or belong to the process that made us
  Directory* directory;  // (CLONE_SIGHAND, CLONE_FS, CLONE_THREAD)
  Children* children;
  u64 open_limit;            // RLIMIT_NOFILE, the soft one
  u64 bytes;                 // to unmap, with the table if that is our own
  u32 client;                // number among the processes that share the table
  u32 threads;               // users of an unshared table; the last one unmaps it
  bool shares_memory;        // a vfork child, or another that has our memory but not our Process
  bool credentials_changed;  // since the session began
  bool own_users;            // in a user namespace that is not the device's
  bool unsettled;            // settle_table() is due
  bool newborn;              // its session waits in `birth` until it starts
  bool joins;                // it will join its parent's session when it starts
  u64 spaces;                // CLONE_NEWUSER, CLONE_NEWNET: what it is born into
  bool started;              // it has taken its session
  Session birth;
  void* exec_memory;  // what its exec needed, for the parent to unmap
  u64 exec_bytes;
  SigAction own_actions[65];
  Directory own_directory;
  Children own_children;

  Table* table() const { return reinterpret_cast<Table*>(fds - kTableHead); }
  Session& session() const { return table()->session; }
  u8 flags(u64 fd) const { return fd < abi::kMaxFd ? fds[fd] : u8{0}; }
  bool offloaded(u64 fd) const { return flags(static_cast<u32>(fd)) & kOffloaded; }
  void set_flags(u64 fd, u8 value) {
    if (fd >= abi::kMaxFd) return;
    const TableChange change;
    __atomic_store_n(&fds[fd], value, __ATOMIC_RELAXED);
    raise_limit(fd);
  }
  // For when several threads may learn about the same file at once.
  void add_flags(u64 fd, u32 more) {
    if (fd >= abi::kMaxFd) return;
    const TableChange change;
    __atomic_fetch_or(&fds[fd], static_cast<u8>(more), __ATOMIC_RELAXED);
    raise_limit(fd);
  }
  // A thread enters (1) or leaves (-1) epoll_wait on the host for this epoll set.
  void count_waiter(u64 epfd, int difference) {
    const TableChange change;
    __atomic_fetch_add(&epoll_waiters[epfd], static_cast<u16>(difference), __ATOMIC_SEQ_CST);
  }
  void raise_limit(u64 fd) {
    u32& limit = table()->fd_limit;
    if (fd >= limit) __atomic_store_n(&limit, static_cast<u32>(fd + 1), __ATOMIC_RELAXED);
  }
};

// The Process of this process, also for threads whose start the hook did not see.
Process* main_process();
void set_main_process(Process* process);

// For a child that shares our memory. `clone_flags` are those of clone; with CLONE_FILES it has our
// table. nullptr when out of memory.
Process* copy_process(const Process& parent, u64 clone_flags);
void free_process(Process* process);

}  // namespace mino::hook
