// SPDX-License-Identifier: Apache-2.0
//
// Sessions on the device that with_device.sh has started. Used by the tests of this folder.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/testing/client.h"

namespace mino::test {

inline std::string device() {
  const char* path = std::getenv("MINO_DEVICE");
  if (path == nullptr) {
    std::fprintf(stderr, "MINO_DEVICE is not set: run this by with_device.sh\n");
    std::exit(2);
  }
  return path;
}

// One window of a request made by hand: `bytes` of memory at `addr`, at `off` in the arena.
struct Hint {
  uint64_t addr;
  uint32_t len, off, dir;
};

// Makes a call with exactly these windows, right or wrong. In-windows carry what is at their
// address.
inline int64_t call_with(LaneClient& lane, uint32_t nr, std::initializer_list<uint64_t> args,
                         const std::vector<Hint>& hints, int install_fd = -1) {
  abi::Submission& slot = lane.next();
  slot.nr = nr;
  slot.install_fd = install_fd;
  slot.kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
  slot.flags = 0;
  slot.arch = static_cast<uint8_t>(abi::Arch::kX86_64);
  for (uint64_t& arg : slot.args) arg = 0;
  std::copy(args.begin(), args.end(), slot.args);
  slot.window_count = 0;
  for (const Hint& hint : hints) {
    if (hint.dir & abi::kWindowIn) peek(lane.view.arena + hint.off, hint.addr, hint.len);
    slot.windows[slot.window_count++] = {hint.addr, hint.len, hint.off | hint.dir};
  }
  lane.publish();
  return lane.wait();
}

}  // namespace mino::test
