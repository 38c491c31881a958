// SPDX-License-Identifier: Apache-2.0
//
// What stands for an offloaded file on its way through an AF_UNIX socket: a sealed memfd that the
// device makes, and that the sender's hook puts in the file's place. Its content is one line: this
// text, and the id of the export in 16 hexadecimal digits. Used by hook/calls/ and
// daemon/exchange.cc. A parcel proves nothing: anybody can write such a file.
//
// The device keeps the file as long as a descriptor of the parcel is open anywhere. The parcel's
// open file description has a shared lock (flock), which goes when the last of its descriptors is
// closed. The device finds out by trying for an exclusive lock through a description of its own.
#pragma once

#include <cstdint>

namespace mino::abi {

inline constexpr char kParcelText[] = "mino: an offloaded file; receive it under `mino run`. id ";
inline constexpr uint64_t kParcelTextBytes = sizeof kParcelText - 1;

struct Parcel {
  char text[kParcelTextBytes];
  char id[17];  // with a newline
};

}  // namespace mino::abi
