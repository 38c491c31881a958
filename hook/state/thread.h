// SPDX-License-Identifier: Apache-2.0
//
// What the hook knows of one thread: the registers of the system call it is in, the stack the hook
// runs on, its lane, its deferred signals. Found by the %fs base (the thread's TCB), which costs no
// system call and no register. hook/catch/entry.S finds its fields by
// offsets that the build makes (hook/catch/entry_offsets.cc).
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
  u64 restart;  // rip - restart is where the call can be started over

  u64 arg(int i) const {
    const u64 values[6] = {rdi, rsi, rdx, r10, r8, r9};
    return values[i];
  }
};

enum InHook : u32 { kOutside = 0, kInside = 1, kWindow = 2 };

struct ThreadState {
  u32 in_hook;   // InHook
  u32 deferred;  // a signal waits to be delivered when the call is over
  u8* stack;     // top of the hook's stack
  Frame frame;
  u64 window_mask;    // the signal mask under which deferred signals are delivered
  u64 resume_mask;    // the mask the application goes on with after them
  ThreadState* twin;  // next state with the same %fs base (clone with CLONE_VM and no new TLS)
  u32 tid;            // tells twins apart; 0 until there are any
  Process* process;
  u32 calls_left;          // until hook/catch/disarm.h looks at the process
  const void* group;       // equal for threads of one process, though a Process be theirs alone
  u32 restartable;         // all deferred signals' handlers have SA_RESTART
  u32 exiting;             // free for reuse once in_hook is 0
  u64 fs_base;             // key in the thread table
  u64 hidden_mask;         // signals the application blocked that we keep open (kSynchronous)
  ThreadState* next;       // all states ever made, for reuse
  ThreadState* suspended;  // vfork: the parent's state, which has our place in the table meanwhile
  u8* stack_base;
  bool clear_handlers;    // born with CLONE_CLEAR_SIGHAND
  bool strict;            // in seccomp's strict mode
  const Filter* filters;  // the newest seccomp filter that holds for this thread, or nullptr
  bool trap_stack;        // the kernel's alternate stack is the one below stack_base (signals.cc)
  bool trace_me;          // it has asked to be traced, but is not yet (lifecycle.cc)

  // The lane, once the thread has one.
  bool has_lane;
  u32 lane_index;
  abi::LaneView lane;
  u32 submit_position;    // next submission to write
  u32 complete_position;  // next completion to read
  u32 call_turn;          // of the call that is under way
  int bell;               // eventfd for mixed waits, or -1
  bool bell_sent;
  bool flip;  // fairness of mixed epoll: whose events come first

  u8* copy_buffer;  // hook/calls/splice.cc, when windows are off

  // Counters of the current call, for `mino trace`.
  u32 call_trips, call_upcalls;
  u64 call_start_ns;

  // What waiting for each row took lately, in cycles (moving average): the spin budget follows it.
  u32 impatient;
  u32 wait_cycles[abi::kSyscalls.size() + 1];
};

struct ThreadSlot {
  u64 fs_base;  // never used; 1: was used
  ThreadState* state;
};
// mino_interest by number: what entry.S does with a call.
enum Interest : u8 {
  kNoInterest = 0,
  kAsk = 1,
  kAskIfFlagged = 2,  // only if the first argument is a flagged descriptor
  kAskIfEither = 3,   // … or the second
  kAskIfPaths = 4,    // only if mino_paths_matter
};

// A number of no system call: run a function of the hook's own as one (hook/preload/libc.h).
inline constexpr long kErrand = 511;

inline constexpr u64 kTrapStackBytes = 64 << 10;  // below stack_base; committed as touched

inline constexpr u32 kThreadTableBits = 13;  // TABLE_BITS in entry.S

inline u64 fs_base() {
  u64 base;
  asm volatile("rdfsbase %0" : "=r"(base));
  return base;
}

ThreadState* find_thread(u64 base);  // nullptr if unknown
inline ThreadState* this_thread() {
  return find_thread(fs_base());
}
ThreadState* make_thread(Process* process);  // not yet in the table; nullptr when out of memory
ThreadState* inherit_thread(
    u64 base, const Process* process);         // a dead thread's state, lane kept, or nullptr
bool enter_thread(ThreadState* ts, u64 base);  // puts it there; false when the table is full
void add_twin(ThreadState* parent,
              ThreadState* child);  // before the child runs; it sets its tid itself
void replace_thread(u64 base, ThreadState* ts);
void move_thread(ThreadState* ts, u64 base);  // the thread has another %fs base now
void leave_thread(ThreadState* ts);  // takes it out; the state is reused when it has left the hook
ThreadState* first_thread();         // of all states ever made; `next` leads on
// In a forked child, where only this thread lives; `keep_bells`: they are in the parent's table.
void forget_other_threads(ThreadState* self, bool keep_bells = false);
// Another thread, perhaps one that ended unseen, has the same Process.
bool has_company(const ThreadState* self);
// The bells of threads of self's Process, in `own`, a copy of its table.
void close_foreign_bells(const ThreadState* self, Process* own);

}  // namespace mino::hook

extern "C" {
extern mino::hook::ThreadSlot mino_threads[1u << mino::hook::kThreadTableBits]
    __attribute__((visibility("hidden")));
extern mino::hook::u8 mino_interest[512] __attribute__((visibility("hidden")));
// False: no path can lead to the device. Becomes true with the first session, and stays so.
extern mino::hook::u8 mino_paths_matter __attribute__((visibility("hidden")));
}
