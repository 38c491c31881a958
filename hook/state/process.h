// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows of one process: its descriptors, its session, its signal actions, its policy.
// There is one per process, and one more for each child that shares our memory and each thread that
// has left the others' descriptor table. Threads reach theirs through ThreadState::process.
#pragma once

#include "abi/limits.h"
#include "hook/base/raw.h"

namespace mino::hook {

enum FdFlags : u8 {
  kOffloaded = 1,       // the file is on the device; here stands a placeholder
  kEpoll = 2,           // an epoll set made here
  kCompanion = 4,       // … with a companion of the same number on the device
  kLocalMembers = 8,    // … that has (had) members of this host
  kPrivate = 16,        // the hook's own; the application must not see it
  kNestedMembers = 64,  // an epoll set that has (had) epoll sets as members
  kSignals = 128,       // a signalfd whose records may have to be put right
  kFarDirectory = 32,  // a local directory from which no offloaded prefix is reachable without ".."
};

struct SigAction {  // the kernel's struct sigaction
  u64 handler;
  u64 flags;
  u64 restorer;
  u64 mask;
};

// What `mino run` decided, from the variable MINO_RUN. Does not change in a process, except that a
// seccomp filter of the program's ends patching and following links, and gives executed programs a
// home.
struct Settings {
  bool active;  // MINO_RUN was there and of our version
  bool windows;
  bool patch, sud;
  bool preload;  // neither: this is libminoc-preload.so (hook/preload/libc.h)
  int trace_fd;
  u32 arena_bytes;
  u32 instance;  // kernel instance of the device
  bool netns;    // the device can make network namespaces for us
  bool links;    // the host's symbolic links may lead to the device
  u64 home;      // hook/start/home.h; 0 until there is a seccomp filter
  u32 families;  // bit = address family
  u32 netlinks;  // bit = netlink protocol
  u32 path_count;
  char socket_path[108];
  char paths[1024];  // NUL-separated prefixes …
  char heads[256];   // … the first part of each, once, and "proc", where names of processes are
  u32 head_count;
  bool all_virtual;       // … which all lie in /proc or /sys
  char variable[1536];    // MINO_RUN as received, without what the hook adds across exec
  char library[512];      // path of this library, for LD_PRELOAD
  bool preload_was_set;   // the user had an LD_PRELOAD too
  bool rights_changed;    // this is the new image of a process of which that is true
  u32 rest_after;         // hook/catch/disarm.h; 0: never
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

// A descriptor table: its session and, behind this, FdFlags and epoll_waiters by number. Threads
// share it, and so do processes that clone made with CLONE_FILES: then this is memory that they
// share, at the same address in each (hook/device/sharing.h).
struct Table {
  u32 fd_limit;        // numbers at and above were never flagged
  u32 fork_lock;       // one conversation at a time on the control socket
  u32 kick_lock;       // hook/calls/epoll.cc
  u32 companion_lock;  // … held across epoll_create1 on the device, which does not block
  int kick_fd;         // … an eventfd (private), or -1
  u32 dead_reports;    // hook/device/mixed_wait.h
  u32 clients;         // processes that have joined the first one, ever
  bool shared;         // … and the device knows that there are some
  bool mapped;         // this is shared memory
  u32 rights_turn;     // counts changes of credentials …
  u32 lane_rights[abi::kMaxLanes];  // … and says after which of them a lane was made
  Session session;
};
inline constexpr u64 kTableHead = 4096;
inline constexpr u64 kTableBytes = kTableHead + 3 * u64{abi::kMaxFd};  // committed as touched
static_assert(sizeof(Table) <= kTableHead);

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

// Whoever changes what a table says of a descriptor has one of these: nobody does while a table
// moves into memory that processes share (hook/device/sharing.cc).
class TableChange {
 public:
  TableChange() {
    while (__atomic_fetch_add(&changes, 1u, __ATOMIC_SEQ_CST),
           __atomic_load_n(&moving, __ATOMIC_SEQ_CST)) {
      __atomic_fetch_sub(&changes, 1u, __ATOMIC_SEQ_CST);
      raw(nr::kSchedYield);
    }
  }
  ~TableChange() { __atomic_fetch_sub(&changes, 1u, __ATOMIC_SEQ_CST); }
  TableChange(const TableChange&) = delete;
  TableChange& operator=(const TableChange&) = delete;

  static void stop() {
    __atomic_store_n(&moving, 1u, __ATOMIC_SEQ_CST);
    constexpr int kPatience = 1'000'000;  // a child that shared our memory may have died in one
    for (int i = 0; i < kPatience && __atomic_load_n(&changes, __ATOMIC_SEQ_CST); i++)
      raw(nr::kSchedYield);
  }
  static void go_on() { __atomic_store_n(&moving, 0u, __ATOMIC_SEQ_CST); }
  static void reset() { changes = moving = 0; }

 private:
  static u32 changes, moving;
};

struct Process {
  u16* epoll_waiters;    // threads in the host's epoll_wait, by epoll fd
  u8* fds;               // FdFlags by number, kMaxFd bytes; both of table()
  SigAction* actions;    // these three are our own, below, or those of the process that made us
  Directory* directory;  // (CLONE_SIGHAND, CLONE_FS, CLONE_THREAD)
  Children* children;
  u64 open_limit;       // RLIMIT_NOFILE, the soft one
  u64 bytes;            // to unmap, with the table if that is our own
  u32 client;           // which of the processes that share the table
  u32 threads;          // of one that has its table by unshare: the last of them unmaps it
  bool shares_memory;   // a vfork child, or another that has our memory but not our Process
  bool rights_changed;  // credentials are not those that the session began with
  bool unsettled;       // settle_table() is due
  bool newborn;         // … whose session waits in `birth` until it starts
  bool joins;           // … that will be one more client of its parent's session
  bool started;         // … and has taken it
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

static_assert(offsetof(Process, fds) == 8);  // entry.S

// That of threads nobody has seen being made.
Process* main_process();
void set_main_process(Process* process);

// For a child with our memory, made with these flags of clone (CLONE_FILES: it has our table);
// nullptr when out of memory.
Process* copy_process(const Process& parent, u64 clone_flags);
void free_process(Process* process);

inline constexpr u64 kCloneFs = 0x200, kCloneFiles = 0x400, kCloneSighand = 0x800,
                     kCloneThread = 0x10000;

// `to` becomes the table of somebody who has a copy of the descriptors.
void copy_table(Table* to, const Table* from);
void reset_table(Table* table);  // a copy has no locks and is nobody else's

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
