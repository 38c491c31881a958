// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows of one process: its descriptors, its session, its signal actions, its policy.
// There is one per process, and one more for each vfork child while it shares our memory. Threads
// reach theirs through ThreadState::process.
#pragma once

#include "abi/limits.h"
#include "hook/raw.h"

namespace mino::hook {

enum FdFlags : u8 {
  kOffloaded = 1,       // the file is on the device; here stands a placeholder
  kEpoll = 2,           // an epoll set made here
  kCompanion = 4,       // … with a companion of the same number on the device
  kLocalMembers = 8,    // … that has (had) members of this host
  kPrivate = 16,        // the hook's own; the application must not see it
  kNestedMembers = 64,  // an epoll set that has (had) epoll sets as members
  kFarDirectory = 32,  // a local directory from which no offloaded prefix is reachable without ".."
};

struct SigAction {  // the kernel's struct sigaction
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

// What `mino run` decided, from the variable MINO_RUN. Does not change in a process, except that a
// seccomp filter of the program's ends patching and gives executed programs a home.
struct Settings {
  bool active;  // MINO_RUN was there and of our version
  bool windows;
  bool patch, sud;
  int trace_fd;
  u32 arena_bytes;
  u32 instance;  // kernel instance of the device
  bool netns;    // the device can make network namespaces for us
  u64 home;      // hook/home.h; 0 until there is a seccomp filter
  u32 families;  // bit = address family
  u32 netlinks;  // bit = netlink protocol
  u32 path_count;
  char socket_path[108];
  char paths[1024];       // NUL-separated prefixes
  char variable[1536];    // MINO_RUN as received, without what the hook adds across exec
  char library[512];      // path of libminoc.so, for LD_PRELOAD
  bool preload_was_set;   // the user had an LD_PRELOAD too
  bool load_all;          // also programs that ld.so would bring us into
  char program[4096];     // what this library has loaded, started as a program itself; or ""
  char executable[4096];  // … and what /proc/self/exe shall say
};
extern Settings settings;

enum class SessionStatus : u32 { kNone, kConnecting, kLive, kDead };

struct Session {
  SessionStatus status;
  u32 lane_count;
  u32 arena_bytes;
  int socket;       // S: the control connection (private)
  int placeholder;  // P: a memfd; offloaded numbers are duplicates of it (private)
  u8* memory;
  u64 memory_bytes;
  u64 id;
};

struct Process {
  u16* epoll_waiters;  // threads in the host's epoll_wait, by epoll fd
  u8* fds;             // FdFlags by number, kMaxFd bytes, committed as touched
  u64 open_limit;      // RLIMIT_NOFILE, the soft one
  u32 fd_limit;        // numbers at and above were never flagged
  Session session;
  SigAction actions[65];
  char cwd[4096];  // where relative paths start, or "" when not known
  bool cwd_offloaded;
  bool cwd_near;       // an offloaded prefix lies below (or at) cwd
  u32 dead_reports;    // hook/mixed_wait.h
  u32 fork_lock;       // one fork at a time talks on the control socket
  u32 child_count;     // children that were born with a session …
  int children[64];    // … and have not been waited for; beyond that, any child may have one
  bool shares_memory;  // a vfork child, or another that has our memory but not our descriptors
  bool newborn;        // … whose session waits in `birth` until it starts
  bool started;        // … and has taken it
  Session birth;
  void* exec_memory;  // … and what its exec needed, for the parent to unmap
  u64 exec_bytes;

  u8 flags(u64 fd) const { return fd < abi::kMaxFd ? fds[fd] : u8{0}; }
  bool offloaded(u64 fd) const { return flags(static_cast<u32>(fd)) & kOffloaded; }
  void set_flags(u64 fd, u8 value) {
    if (fd >= abi::kMaxFd) return;
    __atomic_store_n(&fds[fd], value, __ATOMIC_RELAXED);
    if (fd >= fd_limit) __atomic_store_n(&fd_limit, static_cast<u32>(fd + 1), __ATOMIC_RELAXED);
  }
  // Where several threads may learn of the same file at once.
  void add_flags(u64 fd, u32 more) {
    if (fd >= abi::kMaxFd) return;
    __atomic_fetch_or(&fds[fd], static_cast<u8>(more), __ATOMIC_RELAXED);
    if (fd >= fd_limit) __atomic_store_n(&fd_limit, static_cast<u32>(fd + 1), __ATOMIC_RELAXED);
  }
};

static_assert(offsetof(Process, fds) == 8);  // entry.S

Process* main_process();
Process* copy_process(const Process& parent);  // for a vfork child; nullptr when out of memory
void free_process(Process* process);

// A short lock: never held across a system call that can block.
inline void lock(u32& word) {
  while (__atomic_exchange_n(&word, 1u, __ATOMIC_ACQUIRE)) raw(nr::kSchedYield);
}
inline void unlock(u32& word) {
  __atomic_store_n(&word, 0u, __ATOMIC_RELEASE);
}

// In a forked child: another thread may have held one of these when the process was copied.
void reset_locks_in_child();

}  // namespace mino::hook
