// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/mixed_wait.h. The loop spins for a while on the completion ring, then sleeps on
// the bell and the host together.
#include "hook/device/mixed_wait.h"

#include "hook/base/uapi.h"
#include "hook/device/bell.h"
#include "hook/device/host_poll.h"
#include "hook/device/turn.h"
#include "hook/state/process.h"

#include "abi/patience.h"

namespace mino::hook {

namespace {

bool host_is_ready(MixedWait& wait) {
  return poll_host_now(wait.host, wait.count) > 0;
}

// Sleeps until the bell rings, a host descriptor is ready, a signal is deferred, or the turn is
// over.
void sleep_on_bell(ThreadState* ts, MixedWait& wait, const Turn& turn) {
  abi::LaneControl* control = ts->lane.control;
  const abi::Completion& slot = ts->lane.completions[ts->complete_position & (abi::kRingSlots - 1)];
  for (u32 i = 0; i < wait.count; i++) wait.host[i].revents = 0;
  wait.host[wait.count] = {ts->bell, POLLIN, 0};
  pollfd& death = wait.host[wait.count + 1];
  death = {ts->process->session().socket, 0, 0};  // POLLHUP when the proxy is gone
  control->client_sleeping.store(abi::kOnBell, std::memory_order_seq_cst);
  // Pairs with the device's fence between publishing a completion and reading client_sleeping.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (slot.turn.load(std::memory_order_acquire) != ts->complete_position + 1 && device_alive(ts)) {
    i64 left[2];
    const bool ends = turn.rest(left);
    TimeSpec rest{left[0], left[1]};
    const Woken woken =
        wait.set >= 0 && !ends ? sleep_on_bell_and_set(ts, wait.set) : Woken::kCannot;
    if (woken == Woken::kBySet) wait.host_ready = true;
    if (woken == Woken::kByStop) wait.stopped = true;
    if (woken == Woken::kCannot) poll_host(ts, wait.host, wait.count + 2, ends ? &rest : nullptr);
  }
  control->client_sleeping.store(abi::kAwake, std::memory_order_relaxed);
  if (wait.host[wait.count].revents & POLLIN) quiet_bell(ts);
  for (u32 i = 0; i < wait.count; i++) {
    if (wait.host[i].revents) wait.host_ready = true;
  }
}

// The same without a bell.
void sleep_beside_device(ThreadState* ts, MixedWait& wait) {
  TimeSpec pause{0, 10'000'000};
  if (poll_host(ts, wait.host, wait.count, &pause) > 0) wait.host_ready = true;
}

}  // namespace

void wait_mixed(ThreadState* ts, const abi::Row& row, const u64 args[6], MixedWait& wait) {
  const u32 index = row_index(row);
  const bool bell = prepare_bell(ts);
  offload_start(ts, row, args, static_cast<u8>(bell ? abi::kFlagBell : 0));
  const u64 start = mino_cycles();
  const u64 budget = spin_budget(ts, index);
  if (wait.eager) wait.host_ready = host_is_ready(wait);
  Turn turn(ts);
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
    if (wait.host_ready || wait.stopped || __atomic_load_n(&ts->deferred, __ATOMIC_RELAXED)) break;
    ts->turn_over = turn.over();
    if (ts->turn_over) break;
    switch (mino_patience_next(&mino_patience_client, mino_cycles() - start, budget)) {
      case MINO_LOOK_ON:
        break;
      case MINO_YIELD_AND_LOOK:
        wait.host_ready = host_is_ready(wait);
        break;
      case MINO_SLEEP:
        bell ? sleep_on_bell(ts, wait, turn) : sleep_beside_device(ts, wait);
    }
  }
  offload_cancel(ts);
  wait.device = offload_wait(ts, index, kNoCancel);
  const bool restart =
      wait.device <= abi::kErestartsys && wait.device >= abi::kErestartRestartblock;
  if (restart || wait.device == -EINTR) wait.device = 0;
}

}  // namespace mino::hook
