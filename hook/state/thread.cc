// SPDX-License-Identifier: Apache-2.0
//
// Thread states and the table that finds them. Entries are added and removed without locks, so that
// this can happen in any thread at any instruction. States are never unmapped, only reused.
#include "hook/state/thread.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/state/process.h"
#include "hook/state/settings.h"

mino::hook::ThreadSlot mino_threads[1u << mino::hook::kThreadTableBits];
mino::hook::u8 mino_interest[512];
mino::hook::u8 mino_paths_matter;

namespace mino::hook {

namespace {

constexpr u64 kStackBytes = 256 << 10;  // committed as touched
constexpr u64 kUsed = 1;
constexpr u32 kMask = (1u << kThreadTableBits) - 1;

ThreadState* all_threads;

u32 hash(u64 base) {
  return static_cast<u32>((base * 0x9e3779b97f4a7c15ull) >> (64 - kThreadTableBits));
}

template <class T>
T load(const T& from) {
  return __atomic_load_n(&from, __ATOMIC_ACQUIRE);
}

ThreadSlot* find_slot(u64 base) {
  for (u32 i = hash(base), n = 0; n <= kMask; i = (i + 1) & kMask, n++) {
    const u64 key = load(mino_threads[i].fs_base);
    if (key == base) return &mino_threads[i];
    if (key == 0) return nullptr;
  }
  return nullptr;
}

// What a state keeps for its next thread.
struct Kept {
  u8 *stack_base, *lane_memory, *copy_buffer;
  ThreadState* next;
  u64 lane_bytes, lane_session;
  u32 lane_mapped;
  bool lane_memory_kept;
};

void reset(ThreadState* ts, Process* process) {
  const Kept kept = {ts->stack_base, ts->lane_memory,  ts->copy_buffer, ts->next,
                     ts->lane_bytes, ts->lane_session, ts->lane_mapped, ts->lane_memory_kept};
  fill(ts, 0, sizeof *ts);
  ts->stack_base = kept.stack_base;
  ts->lane_memory = kept.lane_memory;
  ts->copy_buffer = kept.copy_buffer;
  ts->next = kept.next;
  ts->lane_bytes = kept.lane_bytes;
  ts->lane_session = kept.lane_session;
  ts->lane_mapped = kept.lane_mapped;
  ts->lane_memory_kept = kept.lane_memory_kept;
  ts->stack = ts->stack_base + kStackBytes;
  ts->process = process;
  ts->group = process->children;
  ts->bell = ts->watch = -1;
  ts->calls_left = settings.disarm_after;
}

}  // namespace

ThreadState* find_thread(u64 base) {
  const ThreadSlot* slot = find_slot(base);
  ThreadState* ts = slot ? load(slot->state) : nullptr;
  if (!ts || !load(ts->twin)) return ts;
  const u32 tid = static_cast<u32>(raw(__NR_gettid));
  while (ts && load(ts->tid) != tid) ts = load(ts->twin);
  return ts;
}

ThreadState* make_thread(Process* process) {
  for (ThreadState* ts = load(all_threads); ts; ts = ts->next) {
    u32 expected = 1;
    if (load(ts->exiting) == 1 && load(ts->in_hook) == kOutside &&
        __atomic_compare_exchange_n(&ts->exiting, &expected, 2u, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED)) {
      reset(ts, process);
      return ts;
    }
  }
  constexpr u64 kStateBytes = (sizeof(ThreadState) + 4095) & ~4095ull;
  u8* pages = static_cast<u8*>(map_pages(kStateBytes + kTrapStackBytes + kStackBytes));
  if (!pages) return nullptr;
  auto* ts = reinterpret_cast<ThreadState*>(pages);
  ts->stack_base = pages + kStateBytes + kTrapStackBytes;
  reset(ts, process);
  ts->next = load(all_threads);
  while (!__atomic_compare_exchange_n(&all_threads, &ts->next, ts, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE)) {
  }
  return ts;
}

ThreadState* inherit_thread(u64 base, const Process* process) {
  ThreadState* ts = find_thread(base);
  if (!ts || ts->process != process || ts->exiting) return nullptr;
  ts->deferred = 0;
  ts->held = ts->ready = ts->awaited = 0;
  ts->suspended = nullptr;
  return ts;
}

bool enter_thread(ThreadState* ts, u64 base) {
  ts->fs_base = base;
  if (ThreadSlot* old = find_slot(base)) {  // left by a thread whose end the hook did not see
    __atomic_store_n(&old->state, ts, __ATOMIC_RELEASE);
    return true;
  }
  for (u32 i = hash(base), n = 0; n <= kMask; i = (i + 1) & kMask, n++) {
    u64 key = load(mino_threads[i].fs_base);
    if (key > kUsed) continue;
    // Reserve the slot first and store the key last: a reader matches the key only after the state
    // is in place. The release stores pair with the acquire loads in find_slot(). When two threads
    // race for one slot, the loser moves on to the next.
    if (__atomic_compare_exchange_n(&mino_threads[i].fs_base, &key, 2ull, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED)) {
      __atomic_store_n(&mino_threads[i].state, ts, __ATOMIC_RELEASE);
      __atomic_store_n(&mino_threads[i].fs_base, base, __ATOMIC_RELEASE);
      return true;
    }
  }
  return false;
}

void add_twin(ThreadState* parent, ThreadState* child) {
  parent->tid = static_cast<u32>(raw(__NR_gettid));
  child->fs_base = parent->fs_base;
  child->twin = load(parent->twin);
  __atomic_store_n(&parent->twin, child, __ATOMIC_RELEASE);
}

void replace_thread(u64 base, ThreadState* ts) {
  if (ThreadSlot* slot = find_slot(base)) __atomic_store_n(&slot->state, ts, __ATOMIC_RELEASE);
  ts->fs_base = base;
}

namespace {

void remove_from_table(ThreadState* ts) {
  if (ThreadSlot* slot = find_slot(ts->fs_base)) {
    if (slot->state == ts && !ts->twin) {
      __atomic_store_n(&slot->fs_base, kUsed, __ATOMIC_RELEASE);
    } else if (slot->state == ts) {
      __atomic_store_n(&slot->state, ts->twin, __ATOMIC_RELEASE);
    } else {
      for (ThreadState* at = slot->state; at; at = load(at->twin)) {
        if (load(at->twin) == ts) __atomic_store_n(&at->twin, ts->twin, __ATOMIC_RELEASE);
      }
    }
  }
}

}  // namespace

void leave_thread(ThreadState* ts) {
  remove_from_table(ts);
  __atomic_store_n(&ts->exiting, 1u, __ATOMIC_RELEASE);
}

void move_thread(ThreadState* ts, u64 base) {
  if (base == ts->fs_base) return;
  remove_from_table(ts);
  ts->twin = nullptr;
  enter_thread(ts, base);
}

ThreadState* first_thread() {
  return load(all_threads);
}

bool has_company(const ThreadState* self) {
  for (ThreadState* ts = load(all_threads); ts; ts = ts->next) {
    if (ts != self && !load(ts->exiting) && ts->process == self->process) return true;
  }
  return false;
}

void close_foreign_bells(const ThreadState* self, Process* own) {
  for (ThreadState* ts = load(all_threads); ts; ts = ts->next) {
    if (ts == self || load(ts->exiting) || ts->process != self->process) continue;
    for (const int* at : {&ts->bell, &ts->watch}) {
      const int fd = __atomic_load_n(at, __ATOMIC_RELAXED);
      // Otherwise it was made after the copy.
      if (fd < 0 || !(own->flags(static_cast<u64>(fd)) & kPrivate)) continue;
      own->set_flags(static_cast<u64>(fd), 0);
      raw(__NR_close, static_cast<u64>(fd));
    }
  }
}

void forget_other_threads(ThreadState* self, bool keep_bells) {
  self->twin = nullptr;
  for (ThreadState* ts = all_threads; ts; ts = ts->next) {
    if (ts == self) continue;
    ThreadSlot* slot = ts->fs_base ? find_slot(ts->fs_base) : nullptr;
    if (slot && slot->state != self) slot->fs_base = kUsed;
    for (int* fd : {&ts->bell, &ts->watch}) {
      if (*fd >= 0 && !ts->exiting && ts->process == self->process && !keep_bells) {
        self->process->set_flags(static_cast<u64>(*fd), 0);
        raw(__NR_close, static_cast<u64>(*fd));
      }
      *fd = -1;
    }
    ts->in_hook = kOutside;
    ts->exiting = 1;
  }
}

}  // namespace mino::hook
