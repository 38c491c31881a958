// SPDX-License-Identifier: Apache-2.0
#include "engine/native/proxy.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace mino {

Lane& Proxy::lane(uint32_t index) {
  Lane* lane = existing_lane(index);
  if (lane == nullptr) {
    lane = new Lane(*this, index);
    lanes[index].store(lane, std::memory_order_release);
  }
  return *lane;
}

// The control thread leads the thread group, so a pidfd of this process refers to its table.
int Proxy::pull(int number) const {
  const long self = ::syscall(SYS_pidfd_open, ::getpid(), 0);
  if (self < 0) return -1;
  const long file = ::syscall(SYS_pidfd_getfd, self, number, 0);
  ::close(static_cast<int>(self));
  return static_cast<int>(file);
}

void Proxy::nudge_control() {
  constexpr uint64_t kOne = 1;
  files.enter();
  const int nudge = pull(control.nudge);
  if (nudge >= 0) {
    (void)!::write(nudge, &kOne, sizeof kOne);
    ::close(nudge);
  }
  files.leave();
}

void Proxy::kick(bool lingering) {
  for (auto& slot : lanes) {
    if (Lane* lane = slot.load(std::memory_order_acquire)) lane->running().kick(lingering);
  }
}

}  // namespace mino
