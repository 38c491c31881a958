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
