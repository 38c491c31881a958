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
//
// An epoll set is a file of the host itself, and what travels is that file. Its companion on the
// device is exported for as long as the set is open anywhere, and the set carries the id: as a tag,
// a lock (F_OFD_SETLK, shared) on the byte with that number. It belongs to the set's open file
// description, shows in its fdinfo and goes with its last descriptor. All files of the kernel's
// anonymous inode, as epoll sets and eventfds are, share their locks. So the device finds out
// whether the tag is there by an eventfd of its own; and so the id of such an export is no secret.
#pragma once

#include <cstdint>

namespace mino::abi {

inline constexpr char kParcelText[] = "mino: an offloaded file; receive it under `mino run`. id ";
inline constexpr uint64_t kParcelTextBytes = sizeof kParcelText - 1;

struct Parcel {
  char text[kParcelTextBytes];
  char id[17];  // with a newline
};

// The second argument of Op::kExport, and `turn` of the message Export, for the companion of an
// epoll set: only sessions of the same user can import it, and it is kept while a set with the id
// as its tag is open. 0 for other files.
inline constexpr uint64_t kForHolders = 1;

}  // namespace mino::abi
