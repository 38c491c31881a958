// SPDX-License-Identifier: Apache-2.0
//
// The seccomp filters that a program has installed. The host kernel has them too, behind a front
// that lets the hook's own calls pass (hook/calls/seccomp_front.h), and it judges the calls that
// are made on the host. A call that may go to the device is judged here first. Unless the verdict
// allows it, the call is made on the host instead, where the kernel carries the verdict out.
// Filters belong to a thread; the threads it starts and the programs it executes inherit them.
#pragma once

#include "hook/state/bpf.h"
#include "hook/state/thread.h"

namespace mino::hook {

// One filter, linked to those that were installed before it; all of them are asked. Never changed,
// never freed.
struct Filter {
  const Filter* before;
  const Filter* next;  // in the list of all filters
  u32 count, pad;
  sock_filter* code() { return reinterpret_cast<sock_filter*>(this + 1); }
  const sock_filter* code() const { return reinterpret_cast<const sock_filter*>(this + 1); }
};

// Room for a filter of `count` instructions, which the caller writes. nullptr when out of memory.
Filter* make_filter(u32 count);
void drop_filter(Filter* filter);  // one that was never installed

// Installs `filter` for the thread, or for all threads of its process.
void add_filter(ThreadState* ts, Filter* filter, bool all_threads);

// For a forked child: another thread may have held the lock when the process was copied.
void reset_filter_lock();

// Whether the verdict is SECCOMP_RET_ALLOW or SECCOMP_RET_LOG.
bool filters_allow(const Filter* filters, const seccomp_data& call);
bool filters_allow_frame(const ThreadState* ts);
// The same for a call of the hook's own that its front does not let pass.
bool filters_allow_own(const ThreadState* ts, long number, u64 a = 0, u64 b = 0, u64 c = 0);

// For a child that shares our memory, before it runs.
void inherit_filters(ThreadState* child, const ThreadState* parent);
const Filter* latest_filters();  // for a thread whose start the hook did not see

// Carry filters across exec. save_filters writes them to a memfd and returns its number or an
// error. load_filters reads and closes it; nullptr if it holds no filters.
long save_filters(const Filter* filters);
const Filter* load_filters(int fd);

}  // namespace mino::hook
