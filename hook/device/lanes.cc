// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/lanes.h. A thread's mapping of a lane outlives its use of it: the next thread
// with the same ThreadState takes that lane again if it is free.
#include "hook/device/lanes.h"

#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/device/call.h"
#include "hook/device/message.h"

namespace mino::hook {

namespace {

constexpr u32 kMostKept = 16;     // mappings of lanes that nobody has
constexpr i64 kNap = 20'000'000;  // ns; lanes of other processes come free without a word
constexpr i64 kPatience = 30;     // s; then a thread that finds no lane gets an error

u32 kept;     // mappings of lanes that nobody has
u32 waiting;  // threads that need a lane; they wait on `events` in turn
u32 events;   // a lane has come free, or is not in a call any more

// The last lanes of a session are for borrowing. Their lane threads are made when half of the
// others, or this many, are taken: later the device may be unable to.
constexpr u32 kManyLanes = 64;
u32 lent_lanes(const Session& session) {
  const u32 count = session.lane_count;
  return count >= 64 ? 8 : count >= 8 ? count / 8 : count > 1;
}
u32 own_lanes(const Session& session) {
  return session.lane_count - lent_lanes(session);
}

std::atomic<u32>& state_of(const Session& session, u32 lane) {
  return reinterpret_cast<abi::SessionHeader*>(session.memory)->lane_states[lane];
}

bool claim(const ThreadState* ts, u32 lane) {
  std::atomic<u32>& state = state_of(ts->process->session(), lane);
  u32 free = static_cast<u32>(abi::LaneState::kFree);
  const u32 owned = static_cast<u32>(abi::LaneState::kOwned) + ts->process->client;
  return state.load(std::memory_order_relaxed) == free &&
         state.compare_exchange_strong(free, owned);
}

void set_free(const Session& session, u32 lane) {
  state_of(session, lane).store(static_cast<u32>(abi::LaneState::kFree), std::memory_order_release);
}

void set_kept(ThreadState* ts, bool value) {
  if (ts->lane_memory_kept == value) return;
  ts->lane_memory_kept = value;
  __atomic_fetch_add(&kept, value ? 1u : ~0u, __ATOMIC_RELAXED);
}

bool has_mapping(const ThreadState* ts, const Session& session) {
  return ts->lane_memory && ts->lane_session == session.id;
}

// In place of the mapping that the thread has, if it has one of this size: a program that has
// limited its address space has room for that.
bool map_lane(ThreadState* ts, u32 lane) {
  const Session& session = ts->process->session();
  if (!has_mapping(ts, session) || ts->lane_mapped != lane) {
    const u64 bytes = abi::lane_stride(session.arena_bytes);
    if (ts->lane_memory && ts->lane_bytes != bytes) drop_lane_memory(ts);
    const long at = map_memory(ts->lane_memory, bytes, PROT_READ | PROT_WRITE,
                               MAP_SHARED | (ts->lane_memory ? u64{MAP_FIXED} : 0),
                               static_cast<u64>(session.memory_fd),
                               abi::lane_offset(lane, session.arena_bytes));
    if (is_error(at)) {
      drop_lane_memory(ts);
      return false;
    }
    raw(__NR_madvise, static_cast<u64>(at), bytes, MADV_DONTFORK);
    ts->lane_memory = reinterpret_cast<u8*>(at);
    ts->lane_bytes = bytes;
    ts->lane_session = session.id;
    ts->lane_mapped = lane;
  }
  set_kept(ts, false);
  ts->lane = abi::LaneView::at(session.memory, lane, ts->lane_memory, session.arena_bytes);
  ts->lane_index = lane;
  return true;
}

// The mapping has no user any more. If there are many such, it goes, with what is in the arena.
void unuse_mapping(ThreadState* ts) {
  set_kept(ts, true);
  if (__atomic_load_n(&kept, __ATOMIC_RELAXED) <= kMostKept) return;
  raw(__NR_madvise, ptr(ts->lane.arena), ts->lane_bytes - abi::kArenaOffset, MADV_REMOVE);
  drop_lane_memory(ts);
}

void ask_for_thread(const Session& session, u32 lane) {
  abi::Message message;
  message.type = abi::MessageType::kAttachLane;
  message.lane = lane;
  send_message(session, message);
}

// Waits until a lane thread serves the lane. Not a hot path: once per thread. The acquire loads of
// `attached` pair with the store of the lane thread.
long await_thread(ThreadState* ts, bool& fresh) {
  const Session& session = ts->process->session();
  std::atomic<u32>& attached = ts->lane.control->attached;
  u32 none = abi::kNoThread;
  attached.compare_exchange_strong(none, abi::kNoLane);
  fresh = attached.load(std::memory_order_acquire) == abi::kNoLane;
  if (fresh) ask_for_thread(session, ts->lane_index);
  while (attached.load(std::memory_order_acquire) == abi::kNoLane) {
    const i64 timeout[2] = {0, 50'000'000};
    raw(__NR_futex, ptr(&attached), FUTEX_WAIT, abi::kNoLane, ptr(timeout));
    if (attached.load(std::memory_order_acquire) != abi::kNoLane) break;
    pollfd p{session.socket, 0, 0};
    if (raw(__NR_poll, ptr(&p), 1, 0) > 0) {  // the device has hung up
      session_died(ts->process->session());
      return -ENETDOWN;
    }
  }
  if (attached.load(std::memory_order_acquire) == abi::kNoThread) return -ENOBUFS;
  ts->submit_position = ts->lane.control->submission_position.load(std::memory_order_acquire);
  ts->complete_position = ts->lane.control->completion_position.load(std::memory_order_acquire);
  ts->has_lane = true;
  __atomic_store_n(&ts->lane_use, kInUse, __ATOMIC_RELAXED);
  return 0;
}

// The lane is claimed. 0, or it is free again.
long begin_lane(ThreadState* ts, u32 lane, bool& fresh) {
  long result = map_lane(ts, lane) ? 0 : -ENOMEM;
  if (result == 0) {
    result = await_thread(ts, fresh);
    if (result != 0) unuse_mapping(ts);
  }
  if (result != 0) set_free(ts->process->session(), lane);
  return result;
}

long take_own(ThreadState* ts, bool& fresh) {
  const Session& session = ts->process->session();
  const u32 count = own_lanes(session);
  u32 lane = ts->lane_mapped;
  if (!has_mapping(ts, session) || lane >= count || !claim(ts, lane)) {
    for (lane = 0; lane < count && !claim(ts, lane); lane++) {
    }
  }
  if (lane == count) return -ENOBUFS;
  if (lane == (count < kManyLanes ? count : kManyLanes) / 2) {
    for (u32 i = count; i < session.lane_count; i++) ask_for_thread(session, i);
  }
  return begin_lane(ts, lane, fresh);
}

long borrow(ThreadState* ts, bool& fresh) {
  const Session& session = ts->process->session();
  for (u32 lane = own_lanes(session); lane < session.lane_count; lane++) {
    if (!claim(ts, lane)) continue;
    const long result = begin_lane(ts, lane, fresh);
    ts->lane_borrowed = result == 0;
    return result;
  }
  return -ENOBUFS;
}

// Takes the lane of a thread that is not in a call, with its mapping. That thread finds out in
// resume_lane().
long take_from_other(ThreadState* ts, bool& fresh) {
  for (ThreadState* other = first_thread(); other; other = other->next) {
    u32 idle = kIdle;
    if (other == ts || other->process != ts->process || other->lane_kept ||
        __atomic_load_n(&other->exiting, __ATOMIC_ACQUIRE) ||
        !__atomic_compare_exchange_n(&other->lane_use, &idle, kMoving, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
      continue;
    if (other->lane_kept) {  // since then
      __atomic_store_n(&other->lane_use, kIdle, __ATOMIC_RELEASE);
      continue;
    }
    drop_lane_memory(ts);
    ts->lane = other->lane;
    ts->lane_index = ts->lane_mapped = other->lane_index;
    ts->lane_memory = other->lane_memory;
    ts->lane_bytes = other->lane_bytes;
    ts->lane_session = other->lane_session;
    ts->submit_position = other->submit_position;
    ts->complete_position = other->complete_position;
    other->lane_memory = nullptr;
    __atomic_store_n(&other->lane_use, kGone, __ATOMIC_RELEASE);
    ts->has_lane = true;
    __atomic_store_n(&ts->lane_use, kInUse, __ATOMIC_RELAXED);
    offload_op(ts, abi::Op::kLaneExit, 0, 0, -1);
    if (ts->process->session().status == SessionStatus::kDead) return -ENETDOWN;
    ts->has_lane = false;
    const long result = await_thread(ts, fresh);
    if (result == 0) return 0;
    __atomic_store_n(&ts->lane_use, kNoUse, __ATOMIC_RELAXED);
    unuse_mapping(ts);
    set_free(ts->process->session(), ts->lane_index);
    return result;
  }
  return -ENOBUFS;
}

// One thread at a time, and the first that came. A thread that begins to wait at this moment may
// miss it; its nap is short.
void tell_waiting() {
  if (__atomic_load_n(&waiting, __ATOMIC_RELAXED) == 0) return;
  __atomic_fetch_add(&events, 1u, __ATOMIC_RELEASE);
  raw(__NR_futex, ptr(&events), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

}  // namespace

long take_lane(ThreadState* ts, bool& fresh) {
  ts->lane_borrowed = ts->lane_kept = ts->turn_over = false;
  i64 begin[2] = {0, 0}, now[2];
  for (;;) {
    const u32 seen = __atomic_load_n(&events, __ATOMIC_ACQUIRE);
    long result = take_own(ts, fresh);
    if (result != 0 && result != -ENETDOWN) result = take_from_other(ts, fresh);
    if (result != 0 && result != -ENETDOWN) result = borrow(ts, fresh);
    if (result == 0 || result == -ENETDOWN) return result;
    raw(__NR_clock_gettime, CLOCK_MONOTONIC, ptr(now));
    if (!begin[0]) begin[0] = now[0];
    if (now[0] - begin[0] > kPatience) return result;
    __atomic_fetch_add(&waiting, 1u, __ATOMIC_SEQ_CST);
    const i64 nap[2] = {0, kNap};
    raw(__NR_futex, ptr(&events), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen, ptr(nap));
    __atomic_fetch_sub(&waiting, 1u, __ATOMIC_RELAXED);
  }
}

bool resume_lane(ThreadState* ts) {
  for (;;) {
    u32 use = kIdle;
    if (__atomic_compare_exchange_n(&ts->lane_use, &use, kInUse, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
      return true;
    if (use == kInUse) return true;
    if (use == kGone) break;
    raw(__NR_sched_yield);
  }
  ts->has_lane = false;
  ts->bell_sent = false;
  __atomic_store_n(&ts->lane_use, kNoUse, __ATOMIC_RELEASE);
  return false;
}

void rest_lane(ThreadState* ts) {
  if (ts->lane_use != kInUse) return;
  if (ts->lane_borrowed) return give_lane_back(ts);
  __atomic_store_n(&ts->lane_use, kIdle, __ATOMIC_RELEASE);
  tell_waiting();
}

void give_lane_back(ThreadState* ts) {
  ts->bell_sent = false;
  if (ts->process->session().status == SessionStatus::kLive) {
    offload_op(ts, abi::Op::kLaneExit, 0, 0, -1);
    unuse_mapping(ts);
    set_free(ts->process->session(), ts->lane_index);
    tell_waiting();
  }
  lose_lane(ts);
}

void lose_lane(ThreadState* ts) {
  ts->has_lane = ts->lane_borrowed = ts->lane_kept = ts->turn_over = false;
  __atomic_store_n(&ts->lane_use, kNoUse, __ATOMIC_RELEASE);
}

void keep_lane(ThreadState* ts) {
  ts->lane_kept = true;
  ts->lane_borrowed = false;
}

void drop_lane_memory(ThreadState* ts) {
  if (ts->lane_memory) unmap_pages(ts->lane_memory, ts->lane_bytes);
  ts->lane_memory = nullptr;
  set_kept(ts, false);
}

void forget_lane_memory() {
  for (ThreadState* ts = first_thread(); ts; ts = ts->next) {
    ts->lane_memory = nullptr;
    ts->lane_memory_kept = false;
  }
  kept = waiting = 0;
}

}  // namespace mino::hook
