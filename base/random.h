// SPDX-License-Identifier: Apache-2.0
//
// Numbers that nobody guesses. Used for what is to be told apart among all sessions of a device.
#pragma once

#include <sys/random.h>

#include <cstdint>

namespace mino {

// Never 0.
inline uint64_t random_id() {
  uint64_t id = 0;
  while (id == 0) {
    if (::getrandom(&id, sizeof id, 0) != sizeof id) id = 0;
  }
  return id;
}

}  // namespace mino
