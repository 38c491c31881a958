// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that nobody can guess. Used for names that must differ among all sessions of a
// device.
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
