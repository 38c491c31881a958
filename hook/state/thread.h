// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows about one thread: the registers of the system call that it is in, the stack
// that the hook runs on, its lane, its deferred signals. Found by the %fs base (the thread's TCB),
// which costs no system call and no register. hook/catch/entry.S uses its fields by offsets that
// the build generates (hook/catch/entry_offsets.cc).
#pragma once

#include "abi/layout.h"
#include "abi/syscalls.h"
#include "hook/base/raw.h"

namespace mino::hook {

struct Process;
struct Filter;

struct Frame {
  u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r12, r13, r14, r15;
  u64 rip;      // return address
  u64 restart;  // rip - restart: where the call can be restarted

  u64 arg(int i) const {
    const u64 values[6] = {rdi, rsi, rdx, r10, r8, r9};
    return values[i];
  }
};

struct AlternateStack {  // stack_t
  u64 base;
  u32 flags, pad;
  u64 bytes;
};
inline constexpr u32 kMaxDisarmed = 8;

// Whether a thread has a lane, and needs it (hook/device/lanes.h). kMoving, kGone: another thread
// is taking it, or has taken it.
enum LaneUse : u32 { kNoUse = 0, kIdle = 1, kInUse = 2, kMoving = 3, kGone = 4 };

enum InHook : u32 { kOutside = 0, kInside = 1, kWindow = 2 };

// Why the program's signals wait for the end of the call, in ThreadState::deferred.
enum Deferred : u32 {
  kQueued = 1,  // blocked in the kernel; the program's mask waits in window_mask and resume_mask
  kHeld = 2,    // hook/catch/held_signals.h
};

struct ThreadState {
  u32 in_hook;   // InHook
  u32 deferred;  // signals wait for the end of the call: Deferred
  u8* stack;     // top of the hook's stack
  Frame frame;
  u64 window_mask;    // the signal mask under which deferred signals are delivered
  u64 resume_mask;    // the mask that the program continues with afterwards
  ThreadState* twin;  // next state with the same %fs base (clone with CLONE_VM and no new TLS)
  u32 tid;            // tells twins apart; 0 until there are any
  Process* process;
  u32 calls_left;          // until maybe_disarm() acts (hook/catch/disarm.h)
  const void* group;       // equal for all threads of one process, even if they have a Process each
  u32 restartable;         // all deferred signals' handlers have SA_RESTART
  u32 exiting;             // free for reuse once in_hook is 0
  u64 fs_base;             // key in the thread table
  u64 hidden_mask;         // signals of kSynchronous that the program has blocked
  u64 held;                // signals of kSynchronous from elsewhere that wait in held_info
  u64 ready;               // those that are delivered next, whatever is blocked
  u64 awaited;             // those that a call waits for, really blocked
  ThreadState* next;       // all states ever made, for reuse
  ThreadState* suspended;  // vfork child: the parent's state, whose place in the table we have
  u8* stack_base;
  bool clear_handlers;    // born with CLONE_CLEAR_SIGHAND
  bool strict;            // in seccomp's strict mode
  const Filter* filters;  // the newest seccomp filter of this thread, or nullptr
  bool trace_me;          // asked to be traced; takes effect in be_traced()

  // The lane, once the thread has one.
  bool has_lane;
  bool lane_borrowed;  // for this call
  bool lane_kept;      // no other thread may take it
  bool turn_over;      // a borrowed lane must be given back before the next call
  u32 lane_use;        // LaneUse
  u32 lane_index;
  abi::LaneView lane;
  u32 submit_position;    // next submission to write
  u32 complete_position;  // next completion to read
  u32 call_turn;          // of the call in progress
  int bell;               // eventfd for mixed waits, or -1
  int watch;              // epoll set in which the bell is (hook/device/bell.cc), or -1
  bool bell_sent;
  bool flip;  // fairness of mixed epoll: whose events come first this time

  // The mapping of a lane, which outlives the lane's use and this thread.
  u8* lane_memory;
  u64 lane_bytes, lane_session;
  u32 lane_mapped;
  bool lane_memory_kept;  // mapped, but not in use

  u8* copy_buffer;       // hook/calls/splice.cc, when windows are off
  u64 held_info[4][16];  // siginfo_t of SIGILL, SIGBUS, SIGSEGV, SIGSYS

  // hook/catch/signal_stack.h
  AlternateStack alternate;               // the program's own
  AlternateStack disarmed[kMaxDisarmed];  // as it was before handlers that have not returned
  u32 disarmed_count;

  // Counters of the current call, for `mino trace`.
  u32 call_trips, call_upcalls;
  u64 call_start_ns;

  // How long waiting for each row took lately, in cycles (moving average). The spin budget follows
  // it.
  u32 impatient;
  u32 wait_cycles[abi::kSyscalls.size() + 1];
};

struct ThreadSlot {
  u64 fs_base;  // 0: never used; 1: no longer used
  ThreadState* state;
};
// The values of mino_interest, by call number: what entry.S does with a call.
enum Interest : u8 {
  kNoInterest = 0,
  kAsk = 1,
  kAskIfFlagged = 2,  // only if the first argument is a flagged descriptor
  kAskIfEither = 3,   // the same, for the first or the second
  kAskIfPaths = 4,    // only if mino_paths_matter
};

// No system call has this number: it runs a function of the hook's own as one
// (hook/preload/libc.h).
inline constexpr long kErrand = 511;

inline constexpr u64 kTrapStackBytes = 64 << 10;  // below stack_base; committed as touched

inline constexpr u32 kThreadTableBits = 15;  // TABLE_BITS in entry.S

inline u64 fs_base() {
  u64 base;
  asm volatile("rdfsbase %0" : "=r"(base));
  return base;
}

ThreadState* find_thread(u64 base);  // nullptr if unknown
inline ThreadState* this_thread() {
  return find_thread(fs_base());
}
ThreadState* make_thread(Process* process);  // not in the table yet; nullptr when out of memory
// The state of a dead thread, with its lane, or nullptr.
ThreadState* inherit_thread(u64 base, const Process* process);
// Adds the state to the table; false when the table is full.
bool enter_thread(ThreadState* ts, u64 base);
// Before the child runs. The child sets its tid itself.
void add_twin(ThreadState* parent, ThreadState* child);
void replace_thread(u64 base, ThreadState* ts);
void move_thread(ThreadState* ts, u64 base);  // the thread has another %fs base now
// Removes the state from the table. It is reused once the thread has left the hook.
void leave_thread(ThreadState* ts);
ThreadState* first_thread();  // the first of all states ever made; `next` leads to the others
// For a forked child, where only this thread lives. `keep_bells`: the bells are in the parent's
// table.
void forget_other_threads(ThreadState* self, bool keep_bells = false);
// Whether another thread has the same Process; it may be one whose end the hook did not see.
bool has_company(const ThreadState* self);
// Closes the bells of other threads of self's Process in `own`, a copy of its table.
void close_foreign_bells(const ThreadState* self, Process* own);

}  // namespace mino::hook

extern "C" {
extern mino::hook::ThreadSlot mino_threads[1u << mino::hook::kThreadTableBits]
    __attribute__((visibility("hidden")));
extern mino::hook::u8 mino_interest[512] __attribute__((visibility("hidden")));
// 0: no path can lead to the device. Becomes 1 with the first session, and stays so.
extern mino::hook::u8 mino_paths_matter __attribute__((visibility("hidden")));
}
