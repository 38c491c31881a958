// SPDX-License-Identifier: Apache-2.0
//
// The seccomp filters that a program has put itself under. The host's kernel has them too, with a
// front that lets the hook's own calls pass (hook/calls/seccomp_front.h), and judges what is made on the host.
// A call that might go to the device is judged here first: if the answer is anything but yes, it is
// made on the host, where the kernel does what the filter says. Filters hold for a thread; those
// that it starts, and programs that it executes, inherit them.
#pragma once

#include "hook/state/bpf.h"
#include "hook/state/thread.h"

namespace mino::hook {

// One filter, and those that were there before it: all are asked. Never changed, never freed.
struct Filter {
  const Filter* before;
  const Filter* next;  // of all that were ever made
  u32 count, pad;
  sock_filter* code() { return reinterpret_cast<sock_filter*>(this + 1); }
  const sock_filter* code() const { return reinterpret_cast<const sock_filter*>(this + 1); }
};

// Room for a filter of so many instructions, which the caller writes; nullptr when out of memory.
Filter* make_filter(u32 count);
void drop_filter(Filter* filter);  // one that holds for nobody

// From here on `filter` holds for the thread, or for all threads of its process.
void add_filter(ThreadState* ts, Filter* filter, bool all_threads);

// In a forked child: another thread may have had the lock when the process was copied.
void reset_filter_lock();

// May the call go on? SECCOMP_RET_ALLOW or SECCOMP_RET_LOG, that is.
bool filters_allow(const Filter* filters, const seccomp_data& call);
bool filters_allow_frame(const ThreadState* ts);
// … a call that the hook would make, and that its front does not let pass.
bool filters_allow_own(const ThreadState* ts, long number, u64 a = 0, u64 b = 0, u64 c = 0);

// A child that shares our memory, before it runs.
void inherit_filters(ThreadState* child, const ThreadState* parent);
const Filter* latest_filters();  // for a thread that nobody has seen begin

// Across exec: into a memfd (its number, or an error), and out of one, which is closed. nullptr if
// it holds no filters.
long save_filters(const Filter* filters);
const Filter* load_filters(int fd);

}  // namespace mino::hook
