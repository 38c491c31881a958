// SPDX-License-Identifier: Apache-2.0
//
// Directories of the host that list the program's descriptors (/proc/self/fd, /dev/fd, …/fdinfo).
// The hook's own are left out: a program that closes all it finds must find only what it has.
#pragma once

#include "hook/base/uapi.h"
#include "hook/calls/handler.h"

namespace mino::hook {

inline bool is_listing(const abi::Row& row) {
  return row.nr == __NR_getdents || row.nr == __NR_getdents64;
}

// Whether this local descriptor is such a directory, of this process.
bool lists_own_descriptors(u64 fd);

// getdents and getdents64 on a local descriptor.
long do_listing(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
