// SPDX-License-Identifier: Apache-2.0
#include "engine/native/lane.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "channel/futex.h"
#include "engine/native/gadget.h"
#include "engine/native/operations.h"
#include "engine/native/proxy.h"

namespace mino {

namespace {

// Enough for the deepest call chain here. What calls need beyond that is in Scratch.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 1 << 20;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif

constexpr uint64_t kPublishEvery = 64;  // calls
constexpr uint64_t kRing = 1;           // what a bell (an eventfd) is rung with

}  // namespace

Lane::Lane(Proxy& proxy, uint32_t index)
    : proxy_(proxy),
      index_(index),
      channel_(proxy.memory.lane(index)),
      executor_(proxy, running_) {}

void Lane::start() {
  if (serving_.load(std::memory_order_acquire) != 0) return;
  if (started_) ::pthread_join(thread_, nullptr);
  started_ = false;
  serving_.store(1, std::memory_order_release);
  ended_ = false;
  executor_.start_thread();
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  started_ = ::pthread_create(&thread_, &attributes, thread_main, this) == 0;
  ::pthread_attr_destroy(&attributes);
  if (started_) return;
  serving_.store(0, std::memory_order_release);
  abi::LaneControl& control = *channel_.view().control;
  control.attached.store(abi::kNoThread, std::memory_order_seq_cst);
  futex_wake(control.attached);
}

void* Lane::thread_main(void* self) {
  static_cast<Lane*>(self)->run();
  return nullptr;
}

void Lane::run() {
  attach();
  while (!ended_) {
    if (channel_.wait(stopping_, [this] { publish_counts(); })) {
      serve_next();
    } else {
      park();
    }
  }
  publish_counts();
  proxy_.stats->lanes.fetch_sub(1, std::memory_order_relaxed);
}

// From here on the client may use the lane, and the kernel tells it when this thread dies.
void Lane::attach() {
  const auto tid = static_cast<uint32_t>(::syscall(SYS_gettid));
  running_.set_thread(static_cast<pid_t>(tid));
  sigset_t interrupt;
  ::sigemptyset(&interrupt);
  ::sigaddset(&interrupt, interrupt_signal());
  ::pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
  proxy_.stats->lanes.fetch_add(1, std::memory_order_relaxed);

  abi::LaneControl& control = *channel_.view().control;
  robust_entry_.next = &robust_.list;
  robust_.list.next = &robust_entry_;
  robust_.pending = nullptr;
  robust_.futex_offset =
      reinterpret_cast<char*>(&control.liveness) - reinterpret_cast<char*>(&robust_entry_);
  robust_.activate();
  control.liveness.store(tid | FUTEX_WAITERS, std::memory_order_seq_cst);
  control.attached.store(abi::kServes, std::memory_order_seq_cst);
  futex_wake(control.attached);
}

void Lane::serve_next() {
  const uint32_t turn = channel_.turn();
  if (!abi::decode_submission(channel_.submission(), channel_.view().arena_bytes, submission_))
    end_session();
  channel_.consume();
  Split split(submission_, channel_.view().arena, channel_.view().arena_bytes, *this, counted_);
  switch (submission_.kind) {
    case abi::SubmissionKind::kCall: {
      count(counted_.calls);
      constexpr bool kSameNumbers =
#if defined(__x86_64__)
          true;
#else
          false;
#endif
      const int64_t result = kSameNumbers && submission_.arch == abi::Arch::kX86_64
                                 ? executor_.execute(submission_, turn, split)
                                 : -ENOSYS;
      return finish(result, split);
    }
    case abi::SubmissionKind::kOp:
      return finish(operation(split), split);
    default:
      end_session();
  }
}

int64_t Lane::operation(Split& split) {
  switch (static_cast<abi::Op>(submission_.nr)) {
    case abi::Op::kNull:
      return 0;
    case abi::Op::kListFds:
      return list_files(proxy_, submission_.args[0], submission_.args[1], split);
    case abi::Op::kLaneExit:
      retire();
      return 0;
    case abi::Op::kFork:
      return fork_proxy(proxy_);
    case abi::Op::kExport:
      return export_file(proxy_, static_cast<int>(submission_.args[0]), proxy_.control.socket,
                         submission_.args[1]);
    case abi::Op::kImport:
      return import_file(proxy_, submission_.args[0], submission_.install_fd);
    case abi::Op::kSettle:
      return settle_file(proxy_, submission_.args[0]);
    case abi::Op::kPipe:
      return make_pipe(proxy_, submission_.args[0], submission_.args[1]);
    case abi::Op::kMap:
      return map_file(proxy_, static_cast<int>(submission_.args[0]));
    case abi::Op::kStandIn:
      return stand_in(proxy_, submission_.args[0], submission_.args[1]);
    case abi::Op::kNewUsers:
      return executor_.drop_capabilities();
    case abi::Op::kSetOwner:
    case abi::Op::kGetOwner:
      return -ENOSYS;
  }
  return -ENOSYS;
}

void Lane::finish(int64_t result, const Split& split) {
  count(counted_.round_trips);
  if (ended_ || counted_.round_trips.load(std::memory_order_relaxed) >= kPublishEvery)
    publish_counts();
  complete(abi::CompletionKind::kDone, result, {split.extents(), split.extent_count()});
}

void Lane::complete(abi::CompletionKind kind, int64_t result,
                    std::span<const abi::Extent> extents) {
  if (channel_.complete(kind, result, extents) == abi::kOnBell) ring_bell();
}

int64_t Lane::upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len, uint32_t arena_off) {
  const abi::Extent extent{addr, len, arena_off};
  complete(kind, 0, {&extent, 1});
  if (!channel_.wait(stopping_, [] {})) return -EFAULT;  // the client's image is gone
  const abi::Submission& slot = channel_.submission();
  const uint8_t answer = __atomic_load_n(&slot.kind, __ATOMIC_RELAXED);
  const uint64_t served = __atomic_load_n(&slot.args[0], __ATOMIC_RELAXED);
  channel_.consume();
  if (answer != static_cast<uint8_t>(abi::SubmissionKind::kUpcallReply)) end_session();
  return static_cast<int64_t>(served);
}

// The client thread ends. Its bell is dropped. This thread ends, too, if its credentials are no
// longer those of a new lane.
void Lane::retire() {
  drop_bell();
  running_.forget_cancellation();
  if (!executor_.changed_credentials()) return;
  ended_ = true;
  // Not a death: the client still waits for this operation's completion.
  RobustHead::deactivate();
  channel_.view().control->attached.store(abi::kNoLane, std::memory_order_seq_cst);
  serving_.store(0, std::memory_order_release);
}

// Stays idle until the control thread has reset the session for the client's new image.
void Lane::park() {
  drop_bell();
  if (executor_.changed_credentials()) {
    retire();
    return;
  }
  while (const uint32_t round = stopping_.load(std::memory_order_acquire)) {
    parked_.store(round, std::memory_order_release);
    futex_wait(stopping_, round);
  }
}

void Lane::stop(uint32_t round) {
  stopping_.store(round, std::memory_order_release);
  running_.cancel_any();
  channel_.wake();
}

bool Lane::idle(uint32_t round) const {
  return serving_.load(std::memory_order_acquire) == 0 ||
         parked_.load(std::memory_order_acquire) == round;
}

void Lane::reset() {
  running_.forget_cancellation();
  channel_.reset();
}

void Lane::resume() {
  stopping_.store(0, std::memory_order_release);
  futex_wake(stopping_);
}

// The write may block if the bell is not what it should be. Then the lanes of this session wait,
// and no others.
void Lane::set_bell(int number) {
  std::lock_guard lock(bell_mutex_);
  proxy_.files.enter();
  const int bell = proxy_.pull(number);
  if (bell >= 0) {
    proxy_.files.adopt(index_, bell);
    (void)!::write(bell, &kRing, sizeof kRing);
  }
  proxy_.files.leave();
}

void Lane::ring_bell() {
  std::lock_guard lock(bell_mutex_);
  proxy_.files.enter();
  const int bell = proxy_.files.internal(index_);
  if (bell >= 0) (void)!::write(bell, &kRing, sizeof kRing);
  proxy_.files.leave();
}

void Lane::drop_bell() {
  std::lock_guard lock(bell_mutex_);
  if (proxy_.files.internal(index_) >= 0) proxy_.files.discard(index_);
}

void Lane::count(std::atomic<uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// All lanes share the session's row, which is one cache line, so not every call touches it.
void Lane::publish_counts() {
  const auto move = [](std::atomic<uint64_t>& from, std::atomic<uint64_t>& to) {
    const uint64_t n = from.load(std::memory_order_relaxed);
    if (n == 0) return;
    to.fetch_add(n, std::memory_order_relaxed);
    from.store(0, std::memory_order_relaxed);
  };
  SessionStats& row = *proxy_.stats;
  move(counted_.calls, row.calls);
  move(counted_.round_trips, row.round_trips);
  move(counted_.upcalls, row.upcalls);
  move(counted_.bytes_in, row.bytes_in);
  move(counted_.bytes_out, row.bytes_out);
}

void Lane::end_session() {
  ::_exit(kBrokenClient);
}

}  // namespace mino
