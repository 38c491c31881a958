// SPDX-License-Identifier: Apache-2.0
#include "engine/native/root.h"

#include <sched.h>
#include <unistd.h>

#include "engine/native/gadget.h"
#include "engine/native/operations.h"
#include "engine/native/proxy.h"

namespace mino {

bool Root::start(bool forked) {
  forked_ = forked;
  pthread_t thread;
  if (::pthread_create(&thread, nullptr, thread_main, this) != 0) return false;
  ::pthread_detach(thread);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kStarting; });
  return state_ == State::kReady;
}

void* Root::thread_main(void* self) {
  static_cast<Root*>(self)->run();
  return nullptr;
}

bool Root::take_table() {
  if (::unshare(CLONE_FILES) != 0) return false;
  return forked_ ? proxy_.files.inherit() : proxy_.files.establish();
}

void Root::attach(uint32_t lane) {
  std::lock_guard lock(mutex_);
  to_attach_.set(lane);
  changed_.notify_all();
}

void Root::set_bell(uint32_t lane, int number) {
  std::lock_guard lock(mutex_);
  to_bell_.set(lane);
  bells_[lane] = number;
  changed_.notify_all();
}

void Root::give(int number, int socket) {
  std::lock_guard lock(mutex_);
  to_give_.push_back({number, socket});
  changed_.notify_all();
}

void Root::mirror(uint64_t nr, const uint64_t local[6]) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return to_mirror_ == nullptr; });
  to_mirror_ = local;
  mirror_nr_ = nr;
  changed_.notify_all();
  changed_.wait(lock, [this, local] { return to_mirror_ != local; });
}

void Root::run() {
  const bool good = take_table();
  std::unique_lock lock(mutex_);
  state_ = good ? State::kReady : State::kFailed;
  changed_.notify_all();
  if (!good) return;
  for (;;) {
    changed_.wait(lock, [this] {
      return to_mirror_ != nullptr || to_attach_.any() || to_bell_.any() || !to_give_.empty();
    });
    if (to_mirror_ != nullptr) {
      mino_gadget(mirror_nr_, to_mirror_);
      to_mirror_ = nullptr;
      changed_.notify_all();
      continue;
    }
    // One task at a time, without the mutex: the control thread must not wait for a task.
    if (!to_give_.empty()) {
      const Gift gift = to_give_.front();
      to_give_.pop_front();
      lock.unlock();
      give_file(proxy_, gift.number, gift.socket);
      given_.fetch_add(1, std::memory_order_release);
      proxy_.nudge_control();
      lock.lock();
      continue;
    }
    uint32_t lane = 0;
    while (!to_attach_.test(lane) && !to_bell_.test(lane)) lane++;
    if (to_attach_.test(lane)) {
      to_attach_.reset(lane);
      lock.unlock();
      proxy_.lane(lane).start();
      lock.lock();
    } else {
      to_bell_.reset(lane);
      const int number = bells_[lane];
      lock.unlock();
      proxy_.lane(lane).set_bell(number);
      lock.lock();
    }
  }
}

}  // namespace mino
