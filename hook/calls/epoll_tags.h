// SPDX-License-Identifier: Apache-2.0
//
// Tags of epoll sets (abi/parcel.h): what leads from an epoll file of the host to its companion,
// for a process that got the file otherwise than by fork, exec or dup. Used by epoll.cc, parcels.cc
// and pidfd_getfd.cc.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

// Whether `fd` is an epoll file of the host, whoever made it.
bool is_epoll_file(u64 fd);
// The id under which the device has the set's companion; 0 if the set has no tag, or /proc cannot
// be read.
u64 read_tag(const ThreadState* ts, u64 epfd);
// Gives the set, which has a companion, a tag, unless it has one. 0 or the error.
long tag_set(ThreadState* ts, u64 epfd);

}  // namespace mino::hook
