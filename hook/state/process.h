// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows of one process: its descriptor table, its signal actions, its directory.
// There is one per process, and one more for each child that shares our memory and each thread that
// has left the others' descriptor table. Threads reach theirs through ThreadState::process.
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
  bool near;  // an offloaded prefix lies below (or at) it
};

struct Children {
  u32 lock;
  u32 count;     // that were born with a session …
  int pids[64];  // … and have not been waited for; beyond that, any child may have one
};

struct Process {
  u16* epoll_waiters;    // threads in the host's epoll_wait, by epoll fd
  u8* fds;               // FdFlags by number, kMaxFd bytes; both of table()
  SigAction* actions;    // these three are our own, below, or those of the process that made us
  Directory* directory;  // (CLONE_SIGHAND, CLONE_FS, CLONE_THREAD)
  Children* children;
  u64 open_limit;            // RLIMIT_NOFILE, the soft one
  u64 bytes;                 // to unmap, with the table if that is our own
  u32 client;                // which of the processes that share the table
  u32 threads;               // of one that has its table by unshare: the last of them unmaps it
  bool shares_memory;        // a vfork child, or another that has our memory but not our Process
  bool credentials_changed;  // credentials are not those that the session began with
  bool unsettled;            // settle_table() is due
  bool newborn;              // … whose session waits in `birth` until it starts
  bool joins;                // … that will be one more client of its parent's session
  bool started;              // … and has taken it
  Session birth;
  void* exec_memory;  // … and what its exec needed, for the parent to unmap
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
  // Where several threads may learn of the same file at once.
  void add_flags(u64 fd, u32 more) {
    if (fd >= abi::kMaxFd) return;
    const TableChange change;
    __atomic_fetch_or(&fds[fd], static_cast<u8>(more), __ATOMIC_RELAXED);
    raise_limit(fd);
  }
  // A thread enters (1) or leaves (-1) the host's wait for an epoll set.
  void count_waiter(u64 epfd, int difference) {
    const TableChange change;
    __atomic_fetch_add(&epoll_waiters[epfd], static_cast<u16>(difference), __ATOMIC_SEQ_CST);
  }
  void raise_limit(u64 fd) {
    u32& limit = table()->fd_limit;
    if (fd >= limit) __atomic_store_n(&limit, static_cast<u32>(fd + 1), __ATOMIC_RELAXED);
  }
};

// That of threads nobody has seen being made.
Process* main_process();
void set_main_process(Process* process);

// For a child with our memory, made with these flags of clone (CLONE_FILES: it has our table);
// nullptr when out of memory.
Process* copy_process(const Process& parent, u64 clone_flags);
void free_process(Process* process);

}  // namespace mino::hook
