// SPDX-License-Identifier: Apache-2.0
//
// Descriptor tables that are shared or unshared explicitly. A session belongs to a descriptor
// table, not to a process. A thread that unshares the table gets a session of its own, as a forked
// child would. A process made with CLONE_FILES becomes one more client of its parent's session, as
// a thread would. Used by the handlers of fork, unshare and exec, and by close_range.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Performs unshare(unshare_flags), which include CLONE_FILES. Returns its result.
long own_table(ThreadState* ts, u64 unshare_flags);
// Whether other threads or processes may have the calling thread's table.
bool table_is_shared(const ThreadState* ts);

// Called before a clone with CLONE_FILES that makes a process. 0 or -errno. A child with memory of
// its own calls join_table() before anything else; for any other child, Process::joins is set.
long share_table(ThreadState* ts, bool same_memory, u32& client);
void join_table(ThreadState* ts, u32 client);
void join_session(Process* process);

// For a child with memory of its own and without CLONE_FILES. If the present table is shared
// memory, which would stay the parent's, `table` becomes a copy for the child; otherwise nullptr.
// False when out of memory.
bool copy_mapped_table(const Process* process, void*& table);
void take_table(Process* process, void* table);
void drop_table(void* table);

// Forgets what other threads closed on the host between the copy of the flags and the copy of the
// kernel's table. Otherwise the next file with such a number would be taken for an offloaded one.
void forget_closed(Process* copy, const Process* original);

// A thread leaves an unshared table. The last one frees it.
void leave_process(ThreadState* ts);
void discard_process(Process* process);  // with its session's memory

}  // namespace mino::hook
