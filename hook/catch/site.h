// SPDX-License-Identifier: Apache-2.0
//
// The bytes around a `syscall` instruction: which forms can be rewritten (hook/catch/patch.h), and
// what is proven about them. Used by the patcher and the scan. It changes nothing.
#pragma once

#include "hook/catch/image.h"

namespace mino::hook {

struct Site {
  u8* at = nullptr;  // the `syscall`
  u32 head = 0;      // bytes before it that are displaced too; 0: the two-byte form
  u64 islet = 0;     // for the two-byte form: its islet
};

// The first place in [from, end) where two bytes are one of these pairs (low byte first), or `end`.
template <u16... kPairs>
const u8* next_pair(const u8* from, const u8* end) {
  constexpr u64 kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
  // Tests eight places at once: a byte is zero where both bytes of the pair match.
  const auto in_eight = [](u64 first, u64 second) {
    const auto has = [&](u16 pair) {
      const u64 differ = (first ^ (pair & 0xff) * kOnes) | (second ^ (pair >> 8) * kOnes);
      return (differ - kOnes) & ~differ & kHighs;
    };
    return (has(kPairs) | ...) != 0;
  };
  const u8* p = from;
  for (; end - p >= 9; p += 8) {
    u64 first, second;
    __builtin_memcpy(&first, p, 8);
    __builtin_memcpy(&second, p + 1, 8);
    if (in_eight(first, second)) break;
  }
  for (; end - p >= 2; p++) {
    u16 pair;
    __builtin_memcpy(&pair, p, 2);
    if (((pair == kPairs) || ...)) return p;
  }
  return end;
}

// The first `syscall` in [from, end), or `end`. It may be part of something else.
inline const u8* next_syscall(const u8* from, const u8* end) {
  return next_pair<0x050f>(from, end);
}

// Proves a site that has not trapped. Unless `any_number`, the call must be one that the hook
// handles. The image must contain `at` with 16 bytes before and 8 after it.
bool prove(const u8* at, const Image& image, bool any_number, Site& site);

// Proves a site that has trapped with this number in %eax. `live`: other threads may be executing
// it.
bool prove_trapped(const u8* at, u64 number, bool live, const Image& image, Site& site);

// Whether a site still looks as it did when another process found it in its copy of this image.
bool looks_like(const Site& site, const Image& image);

// The call number that is loaded shortly before `at`, or -1. Only a guess.
int number_at(const u8* at);

}  // namespace mino::hook
