// SPDX-License-Identifier: Apache-2.0
//
// The call path. It writes each shared field once and reads each once, and it checks what comes
// back before using it.
#include "hook/device/call.h"

#include "abi/decode.h"
#include "abi/patience.h"
#include "abi/walk.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/device/bell.h"
#include "hook/device/message.h"
#include "hook/device/trace.h"
#include "hook/device/turn.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr u32 kSlotMask = abi::kRingSlots - 1;
constexpr const mino_patience& kPatience = mino_patience_client;

// Client memory for the walker.
struct UserReader {
  bool read(u64 from, void* to, u32 bytes) { return user_read(from, to, bytes); }
  i64 string(u64 from, u32 max) {
    char buffer[64];
    u64 done = 0;
    while (done < max) {
      const u64 chunk = min(max - done, min(64, 4096 - ((from + done) & 4095)));
      const u64 got = user_copy_in(buffer, from + done, chunk);
      for (u64 i = 0; i < got; i++) {
        if (buffer[i] == 0) return static_cast<i64>(done + i + 1);
      }
      if (got < chunk) return -1;
      done += chunk;
    }
    return static_cast<i64>(max);
  }
};

// Turns pieces into windows. A piece that does not fit, or whose memory is bad, is left to upcalls.
class WindowSink {
 public:
  WindowSink(const abi::LaneView& lane, abi::Submission& slot)
      : lane_(lane),
        slot_(slot),
        limit_(lane.arena_bytes - abi::upcall_reserve(lane.arena_bytes)) {}

  i64 count() const { return count_; }

  int32_t piece(const abi::Piece& piece) {
    if (count_ == abi::kMaxWindows) return -2;
    // Bytes that are already in the arena (hook/calls/splice.cc) become a window where they are.
    const u64 place = piece.addr - ptr(lane_.arena);
    if (place < limit_ && piece.len <= limit_ - place && place % 8 == 0 && place >= used_) {
      add(piece.addr, piece.len, place, piece.dir);
      return 0;
    }
    u64 len = min(piece.len, limit_ - used_);
    if (len == 0) return 0;
    if (piece.dir & abi::kWindowOut) len = user_writable(piece.addr, len);
    if (piece.dir & abi::kWindowIn) len = user_copy_in(lane_.arena + used_, piece.addr, len);
    if (len == 0) return 0;
    add(piece.addr, len, used_, piece.dir);
    return 0;
  }

 private:
  void add(u64 addr, u64 len, u64 place, u32 dir) {
    slot_.windows[count_++] = {addr, static_cast<u32>(len), static_cast<u32>(place) | dir};
    used_ = min(limit_, (place + len + 7) & ~7ull);
  }

  const abi::LaneView& lane_;
  abi::Submission& slot_;
  u64 limit_, used_ = 0;
  u8 count_ = 0;
};

abi::Submission& next_submission(ThreadState* ts) {
  return ts->lane.submissions[ts->submit_position & kSlotMask];
}

// Wakes an engine whose lanes sleep together. The fence pairs with the one that the engine executes
// between storing device_sleeping and checking for work again.
void ring_doorbell(ThreadState* ts) {
  auto* header = reinterpret_cast<abi::SessionHeader*>(ts->process->session().memory);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (header->device_sleeping.load(std::memory_order_relaxed) == abi::kAwake) return;
  header->doorbell.fetch_add(1, std::memory_order_relaxed);
  raw(__NR_futex, ptr(&header->doorbell), FUTEX_WAKE, 1);
}

// Publishes the slot and wakes the device if it sleeps. The release store pairs with the device's
// acquire load of `turn`; the fence pairs with the one that the device executes between storing
// device_sleeping and checking again.
void publish(ThreadState* ts, abi::Submission& slot) {
  ts->submit_position++;
  slot.turn.store(ts->submit_position, std::memory_order_release);
  ring_doorbell(ts);
  if (ts->lane.control->device_sleeping.load(std::memory_order_relaxed) != abi::kAwake)
    raw(__NR_futex, ptr(&slot.turn), FUTEX_WAKE, 1);
}

void submit(ThreadState* ts, abi::SubmissionKind kind, u32 number, const u64 args[6],
            int install_fd, u8 flags, const abi::Row* row) {
  abi::Submission& slot = next_submission(ts);
  slot.nr = number;
  slot.install_fd = install_fd;
  slot.kind = static_cast<u8>(kind);
  slot.flags = flags;
  slot.arch = static_cast<u8>(abi::Arch::kX86_64);
  for (int i = 0; i < 6; i++) slot.args[i] = args[i];
  u8 windows = 0;
  if (row && settings.windows) {
    UserReader reader;
    WindowSink sink(ts->lane, slot);
    abi::walk(*row, args, reader, sink);
    windows = static_cast<u8>(sink.count());
  }
  slot.window_count = windows;
  if (kind != abi::SubmissionKind::kUpcallReply) ts->call_turn = ts->submit_position + 1;
  publish(ts, slot);
}

void reply(ThreadState* ts, i64 served) {
  const u64 args[6] = {static_cast<u64>(served)};
  submit(ts, abi::SubmissionKind::kUpcallReply, 0, args, -1, 0, nullptr);
}

void serve_upcall(ThreadState* ts, abi::CompletionKind kind, const abi::Extent& e) {
  const u64 addr = e.addr;
  ts->call_upcalls++;
  u8* arena = ts->lane.arena + e.arena_off;
  i64 served = 0;
  switch (kind) {
    case abi::CompletionKind::kUpcallRead:
      served = static_cast<i64>(user_copy_in(arena, addr, e.len));
      break;
    case abi::CompletionKind::kUpcallWrite:
      served = static_cast<i64>(user_copy_out(addr, arena, e.len));
      break;
    case abi::CompletionKind::kUpcallString:
      served = user_string(addr, reinterpret_cast<char*>(arena), e.len);
      if (served == -ENAMETOOLONG) served = e.len;  // no NUL so far: the device asks for more
      break;
    case abi::CompletionKind::kUpcallProbe:
      served = static_cast<i64>(user_writable(addr, e.len, true));
      break;
    default:
      break;
  }
  if (served == 0 && e.len != 0) served = -EFAULT;
  reply(ts, served);
}

// Copies what the device has put into windows to client memory. A bad address here means that the
// memory went away during the call: EFAULT, as from the kernel.
long apply(ThreadState* ts, const abi::CheckedCompletion& done) {
  long result = done.result;
  for (u16 i = 0; i < done.extent_count; i++) {
    const abi::Extent& e = done.extents[i];
    u8* from = ts->lane.arena + e.arena_off;
    if (e.addr != ptr(from) && user_copy_out(e.addr, from, e.len) != e.len) result = -EFAULT;
  }
  return result;
}

// Sleeps until the next completion slot is published, the lane thread dies, a signal is deferred,
// or the time has come. True if the process has been stopped and continued, as far as that matters.
bool sleep_on_lane(ThreadState* ts, bool interruptible, i64* end) {
  bool stopped = false;
  const bool by_bell = interruptible && !end && stops_matter() && prepare_bell(ts);
  abi::LaneControl* control = ts->lane.control;
  abi::Completion& slot = ts->lane.completions[ts->complete_position & kSlotMask];
  const u32 expected = slot.turn.load(std::memory_order_relaxed);
  const u32 alive = control->liveness.load(std::memory_order_relaxed);
  control->client_sleeping.store(by_bell ? abi::kOnBell : abi::kOnFutex, std::memory_order_seq_cst);
  // Pairs with the device's fence between publishing a completion and reading client_sleeping.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (slot.turn.load(std::memory_order_acquire) != ts->complete_position + 1 &&
      !(alive & FUTEX_OWNER_DIED) && alive != 0) {
    const futex_waitv waiters[2] = {{expected, ptr(&slot.turn), FUTEX_32, 0},
                                    {alive, ptr(&control->liveness), FUTEX_32, 0}};
    const u64 args[6] = {ptr(waiters), 2, 0, ptr(end), CLOCK_MONOTONIC, 0};
    if (by_bell) {
      stopped = sleep_on_bell_and_set(ts, -1) == Woken::kByStop;
    } else if (interruptible) {
      mino_interruptible(ts, __NR_futex_waitv, args);
    } else {
      raw(__NR_futex_waitv, args[0], args[1], 0, 0, 0);
    }
  }
  control->client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  return stopped;
}

}  // namespace

long (*next_turn)(ThreadState* ts);

u32 row_index(const abi::Row& row) {
  return static_cast<u32>(&row - abi::kSyscalls.data());
}

bool device_alive(const ThreadState* ts) {
  const u32 alive = ts->lane.control->liveness.load(std::memory_order_relaxed);
  return alive != 0 && !(alive & FUTEX_OWNER_DIED);
}

u64 spin_budget(ThreadState* ts, u32 index) {
  return mino_patience_budget(&kPatience, ts->wait_cycles[index], &ts->impatient);
}

void learn_wait(ThreadState* ts, u32 index, u64 took) {
  u32& usual = ts->wait_cycles[index];
  usual = mino_patience_learn(&kPatience, usual, took);
}

long offload_start(ThreadState* ts, const abi::Row& row, const u64 args[6], u8 submission_flags) {
  submit(ts, abi::SubmissionKind::kCall, row.nr, args, -1, submission_flags, &row);
  ts->call_trips++;
  return 0;
}

bool offload_done(ThreadState* ts, long& result) {
  abi::Completion& slot = ts->lane.completions[ts->complete_position & kSlotMask];
  if (slot.turn.load(std::memory_order_acquire) != ts->complete_position + 1) return false;
  abi::CheckedCompletion completion;
  if (!abi::decode_completion(slot, ts->lane.arena_bytes, completion)) {
    session_died(ts->process->session());  // a device that breaks the contract counts as dead
    result = -ENETDOWN;
    return true;
  }
  ts->complete_position++;
  if (completion.kind == abi::CompletionKind::kDone) {
    result = apply(ts, completion);
    return true;
  }
  serve_upcall(ts, completion.kind, completion.extents[0]);
  return false;
}

void offload_cancel(ThreadState* ts) {
  ts->lane.control->cancel_turn.store(ts->call_turn, std::memory_order_seq_cst);
  ring_doorbell(ts);
  abi::Message message;
  message.type = abi::MessageType::kCancel;
  message.lane = ts->lane_index;
  message.turn = ts->call_turn;
  send_message(ts->process->session(), message);
}

long offload_wait(ThreadState* ts, u32 index, u32 call_flags) {
  bool cancelled = false, stopped = false;
  long result = 0;
  // The shortest calls to a device that is awake are not worth reading the clock.
  for (u32 i = 0; i < kPatience.first_looks; i++) {
    if (offload_done(ts, result)) {
      learn_wait(ts, index, 0);
      return result;
    }
    mino_pause();
  }
  const u64 start = mino_cycles();
  const u64 budget = spin_budget(ts, index);
  const bool may_cancel = !(call_flags & kNoCancel);
  Turn turn(ts);
  for (;;) {
    for (u32 i = 0; i < kPatience.looks; i++) {
      if (offload_done(ts, result)) {
        learn_wait(ts, index, mino_cycles() - start);
        return result;
      }
      mino_pause();
    }
    if (!device_alive(ts)) {
      session_died(ts->process->session());
      return -ENETDOWN;
    }
    if (may_cancel && !cancelled &&
        (stopped || __atomic_load_n(&ts->deferred, __ATOMIC_RELAXED) || turn.over())) {
      ts->turn_over = turn.over();
      offload_cancel(ts);
      cancelled = true;
    }
    switch (mino_patience_next(&kPatience, mino_cycles() - start, budget)) {
      case MINO_LOOK_ON:
        break;
      case MINO_YIELD_AND_LOOK:
        // Costs little when the core has nothing else; lets the proxy run when it has.
        raw(__NR_sched_yield);
        break;
      case MINO_SLEEP:
        stopped |= sleep_on_lane(ts, may_cancel && !cancelled, turn.end());
    }
  }
}

long offload(ThreadState* ts, const abi::Row& row, const u64 args[6], int install_fd,
             u8 submission_flags, u32 call_flags) {
  for (;;) {
    submit(ts, abi::SubmissionKind::kCall, row.nr, args, install_fd, submission_flags, &row);
    ts->call_trips++;
    const long result = offload_wait(ts, row_index(row), call_flags);
    if (ts->process->session().status == SessionStatus::kDead) return dead_result(row, args);
    // A cancellation that comes too late hits nothing. A restart code without a deferred signal
    // only means: submit the call again.
    const bool again = (result <= abi::kErestartsys && result >= abi::kErestartRestartblock) ||
                       (result == -EINTR && ts->turn_over);
    if (!again || ts->deferred) return result;
    const long error = ts->turn_over ? next_turn(ts) : 0;
    if (error) return error == -ENETDOWN ? dead_result(row, args) : error;
  }
}

long offload_op(ThreadState* ts, abi::Op op, u64 a, u64 b, int install_fd, u32 call_flags) {
  const u64 args[6] = {a, b};
  submit(ts, abi::SubmissionKind::kOp, static_cast<u32>(op), args, install_fd, 0, nullptr);
  return offload_wait(ts, abi::kSyscalls.size(), call_flags);
}

long device_call(ThreadState* ts, long nr, u64 a, u64 b, u64 c, u64 d, u64 e) {
  const u64 args[6] = {a, b, c, d, e, 0};
  return offload(ts, *abi::find_row(static_cast<u64>(nr)), args, -1, 0, kNoCancel);
}

long dead_result(const abi::Row& row, const u64 args[6]) {
  using enum abi::WhenDead;
  switch (row.when_dead) {
    case kReset:
      return -ECONNRESET;
    case kNotConn:
      return -ENOTCONN;
    case kDone:
      return 0;
    case kFileFlags:
      return args[1] == F_GETFL ? O_RDWR : 0;
    case kSoError:
      if (args[1] == SOL_SOCKET && args[2] == SO_ERROR) {
        const int reset = ECONNRESET;
        return user_write(args[3], &reset, sizeof reset) ? 0 : -EFAULT;
      }
      return -ENETDOWN;
    case kDown:
      return -ENETDOWN;
  }
  return -ENETDOWN;
}

}  // namespace mino::hook
