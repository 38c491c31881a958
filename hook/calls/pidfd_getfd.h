// SPDX-License-Identifier: Apache-2.0
//
// pidfd_getfd: a descriptor of another process, which may be an offloaded file of another session.
// The file must be given only to a process that may have it; see the .cc for the proof.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_pidfd_getfd(ThreadState* ts, const abi::Row& row);

// The process id behind a pidfd, from /proc; 0 if it is not known there.
u64 process_of(const ThreadState* ts, u64 pidfd);

}  // namespace mino::hook
