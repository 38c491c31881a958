// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/mixed_wait.h. The loop spins for a while on the completion ring, then sleeps on
// the bell and the host together.
#include "hook/device/mixed_wait.h"

#include "hook/base/uapi.h"
#include "hook/device/message.h"
#include "hook/state/interruptible.h"
#include "hook/state/private_descriptors.h"

#include "abi/patience.h"

namespace mino::hook {

namespace {

bool host_is_ready(MixedWait& wait) {
  return raw(__NR_poll, ptr(wait.host), wait.count, 0) > 0;
}

// Sleeps until the bell rings, a host descriptor is ready, or a signal is deferred.
void sleep_on_bell(ThreadState* ts, MixedWait& wait) {
  abi::LaneControl* control = ts->lane.control;
  const abi::Completion& slot = ts->lane.completions[ts->complete_position & (abi::kRingSlots - 1)];
  wait.host[wait.count] = {ts->bell, POLLIN, 0};
  pollfd& death = wait.host[wait.count + 1];
  death = {ts->process->session().socket, 0, 0};  // POLLHUP when the proxy is gone
  control->client_sleeping.store(abi::kOnBell, std::memory_order_seq_cst);
  // Pairs with the device's fence between publishing a completion and reading client_sleeping.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (slot.turn.load(std::memory_order_acquire) != ts->complete_position + 1 && device_alive(ts)) {
    const u64 args[6] = {ptr(wait.host), wait.count + 2, 0, 0, 8, 0};
    mino_interruptible(ts, __NR_ppoll, args);
  }
  control->client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  if (wait.host[wait.count].revents & POLLIN) {
    u64 rung;
    raw(__NR_read, static_cast<u64>(ts->bell), ptr(&rung), 8);
  }
  for (u32 i = 0; i < wait.count; i++) {
    if (wait.host[i].revents) wait.host_ready = true;
  }
}

}  // namespace

bool prepare_bell(ThreadState* ts) {
  if (ts->bell < 0) {
    const long fd = raw(__NR_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (is_error(fd)) return false;
    ts->bell = make_private(ts->process, static_cast<int>(fd));
    ts->bell_sent = false;
  }
  if (!ts->bell_sent) {
    abi::Message message;
    message.type = abi::MessageType::kBell;
    message.lane = ts->lane_index;
    ts->bell_sent = send_message(ts->process->session(), message, ts->bell);
  }
  return ts->bell_sent;
}

void slow_down_dead(ThreadState* ts) {
  if (__atomic_fetch_add(&ts->process->table()->dead_reports, 1u, __ATOMIC_RELAXED) < 64) return;
  const i64 pause_time[2] = {0, 50'000'000};
  const u64 args[6] = {0, 0, ptr(pause_time), 0, 8, 0};
  mino_interruptible(ts, __NR_ppoll, args);
}

void wait_mixed(ThreadState* ts, u32 index, MixedWait& wait) {
  const u64 start = mino_cycles();
  const u64 budget = spin_budget(ts, index);
  if (wait.eager) wait.host_ready = host_is_ready(wait);
  for (;;) {
    for (u32 i = 0; i < mino_patience_client.looks; i++) {
      if (offload_done(ts, wait.device)) {
        learn_wait(ts, index, mino_cycles() - start);
        return;
      }
      mino_pause();
    }
    if (!device_alive(ts)) {
      session_died(ts->process->session());
      return;
    }
    if (wait.host_ready || __atomic_load_n(&ts->deferred, __ATOMIC_RELAXED)) break;
    switch (mino_patience_next(&mino_patience_client, mino_cycles() - start, budget)) {
      case MINO_LOOK_ON:
        break;
      case MINO_YIELD_AND_LOOK:
        wait.host_ready = host_is_ready(wait);
        break;
      case MINO_SLEEP:
        sleep_on_bell(ts, wait);
    }
  }
  offload_cancel(ts);
  wait.device = offload_wait(ts, index, kNoCancel);
  const bool restart =
      wait.device <= abi::kErestartsys && wait.device >= abi::kErestartRestartblock;
  if (restart || wait.device == -EINTR) wait.device = 0;
}

}  // namespace mino::hook
