// SPDX-License-Identifier: Apache-2.0
//
// The bytes around a `syscall` instruction: which forms can be rewritten (hook/patch.h), and how
// much is proven about them. Changes nothing.
#pragma once

#include "hook/image.h"

namespace mino::hook {

struct Site {
  u8* at = nullptr;  // the `syscall`
  u32 head = 0;      // bytes before it that are displaced with it; 0: the two-byte form …
  u64 islet = 0;     // … and its islet
};

// The first `syscall` in [from, end), or `end`. It may be part of something else.
inline const u8* next_syscall(const u8* from, const u8* end) {
  constexpr u64 kOnes = 0x0101010101010101, kHighs = 0x8080808080808080, kFives = 5 * kOnes;
  const u8* p = from + 1;  // where an 05 would be
  while (p < end) {
    if (end - p >= 8) {
      u64 word;
      __builtin_memcpy(&word, p, 8);
      word ^= kFives;
      if (((word - kOnes) & ~word & kHighs) == 0) {  // none of the eight
        p += 8;
        continue;
      }
    }
    for (const u8* const stop = end - p >= 8 ? p + 8 : end; p < stop; p++) {
      if (p[0] == 0x05 && p[-1] == 0x0f) return p - 1;
    }
  }
  return end;
}

// A site that no trap has proven; unless `any_number`, of a call that is the hook's business. `at`
// and 16 bytes before, 8 behind lie in the image.
bool prove(const u8* at, const Image& image, bool any_number, Site& site);

// A site that has trapped with this number in %eax; `live`: other threads may be executing it.
bool prove_trapped(const u8* at, u64 number, bool live, const Image& image, Site& site);

// What another process has found in its copy of this image still looks as it did there.
bool looks_like(const Site& site, const Image& image);

// The number that is loaded shortly before, or -1. A guess.
int number_at(const u8* at);

}  // namespace mino::hook
