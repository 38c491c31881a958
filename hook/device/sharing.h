// SPDX-License-Identifier: Apache-2.0
//
// Descriptor tables that are shared or split by hand. A session goes with a descriptor table, not
// with a process: a thread that leaves the others' table gets a session of its own, as a forked
// child would; a process that is made with CLONE_FILES becomes one more client of its parent's
// session, as a thread would. Used by lifecycle.cc and descriptors.cc.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// unshare(unshare_flags), with CLONE_FILES among them: its result.
long own_table(ThreadState* ts, u64 unshare_flags);
// Other threads or processes may have the calling thread's table.
bool table_is_shared(const ThreadState* ts);

// Before a clone with CLONE_FILES that makes a process: 0 or -errno. With memory of its own, that
// one calls join_table() first of all; else its Process says `joins`.
long share_table(ThreadState* ts, bool same_memory, u32& client);
void join_table(ThreadState* ts, u32 client);
void join_session(Process* process);

// For a child with memory of its own and without CLONE_FILES: what its table will be, where the
// memory of the present one would stay the parent's; nullptr in `table` where it would not. False:
// no memory.
bool copy_mapped_table(const Process* process, void*& table);
void take_table(Process* process, void* table);
void drop_table(void* table);

// What other threads closed on the host between the copy of its flags and the copy of the table:
// else the next file at such a number would be taken for the device's.
void forget_closed(Process* copy, const Process* original);

// A thread of a table that was split ends: the last one leaves nothing behind.
void leave_process(ThreadState* ts);
void discard_process(Process* process);  // with its session's memory

}  // namespace mino::hook
