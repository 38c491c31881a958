// SPDX-License-Identifier: Apache-2.0
//
// Warm sites: the sites of libc that most programs use. A process that has trapped a few times
// patches them all together, which costs as much as patching two of them when they are hot. They
// are found once, by the proofs of the patch tier, and handed on across exec (MINO_RUN, ";k="), for
// any file with the same build-id.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

struct WarmSite {
  u32 offset;         // in the file, of the `syscall`
  u8 head;            // Site::head
  signed char islet;  // Site::islet, relative to the end of a jump at the site
};

inline constexpr u32 kBuildIdBytes = 20;

struct WarmSites {
  static constexpr u32 kMost = 56;
  static constexpr u32 kEnd = 1 << 28;  // larger offsets are not kept: text has seven digits
  u8 build_id[kBuildIdBytes];
  u32 count;  // 0: unknown
  WarmSite sites[kMost];

  bool are_of(const u8* id) const;
  void add(const WarmSite& site);  // in the order of their offsets
};

// Calls that are common in programs of all kinds: files, memory, signals.
bool is_common(int number);

// As text, for the environment: the build-id, then for each site ",OFFSET+HEAD" or ",OFFSET-ISLET",
// in hexadecimal.
inline constexpr u64 kWarmTextBytes = 2 * kBuildIdBytes + WarmSites::kMost * 12 + 1;
char* print_warm_sites(char* to, const WarmSites& sites);   // the end; no NUL
void parse_warm_sites(const char* text, WarmSites& sites);  // none if the form is wrong

}  // namespace mino::hook
