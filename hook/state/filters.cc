// SPDX-License-Identifier: Apache-2.0
//
// See hook/state/filters.h.
#include "hook/state/filters.h"

#include "hook/base/library.h"
#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/state/process.h"
#include "hook/state/settings.h"
#include "hook/state/table.h"

namespace mino::hook {

namespace {

u32 filter_lock;
const Filter* all_filters;

u64 bytes_of(u32 count) {
  return sizeof(Filter) + count * sizeof(sock_filter);
}

bool equal(const Filter* a, const Filter* b) {
  if (a->before != b->before || a->count != b->count) return false;
  const auto *x = reinterpret_cast<const u64*>(a->code()),
             *y = reinterpret_cast<const u64*>(b->code());
  for (u32 i = 0; i < a->count; i++) {
    if (x[i] != y[i]) return false;
  }
  return true;
}

// Threads often install the same filter one after the other: such a filter is kept once.
const Filter* keep(Filter* filter) {
  for (const Filter* f = all_filters; f; f = f->next) {
    if (!equal(f, filter)) continue;
    unmap_pages(filter, bytes_of(filter->count));
    return f;
  }
  filter->next = all_filters;
  __atomic_store_n(&all_filters, filter, __ATOMIC_SEQ_CST);  // before the list of threads is read
  return filter;
}

}  // namespace

void reset_filter_lock() {
  filter_lock = 0;
}

Filter* make_filter(u32 count) {
  auto* const filter = static_cast<Filter*>(map_pages(bytes_of(count)));
  if (filter) filter->count = count;
  return filter;
}

void drop_filter(Filter* filter) {
  unmap_pages(filter, bytes_of(filter->count));
}

void add_filter(ThreadState* ts, Filter* filter, bool all_threads) {
  lock(filter_lock);
  const Filter* const kept = keep(filter);
  ts->filters = kept;
  for (ThreadState* t = all_threads ? first_thread() : nullptr; t; t = t->next) {
    if (t->group == ts->group && !t->exiting) t->filters = kept;
  }
  unlock(filter_lock);
  settings.patch = settings.links = false;  // both need calls that the filter may forbid
}

bool filters_allow(const Filter* filters, const seccomp_data& call) {
  // The lowest verdict wins, compared as signed (seccomp_run_filters in kernel/seccomp.c).
  int lowest = static_cast<int>(SECCOMP_RET_ALLOW);
  for (; filters; filters = filters->before) {
    const int verdict =
        static_cast<int>(run_bpf(filters->code(), filters->count, call) & SECCOMP_RET_ACTION_FULL);
    if (verdict < lowest) lowest = verdict;
  }
  return lowest == static_cast<int>(SECCOMP_RET_ALLOW) ||
         lowest == static_cast<int>(SECCOMP_RET_LOG);
}

bool filters_allow_frame(const ThreadState* ts) {
  const Frame& f = ts->frame;
  return filters_allow(ts->filters, {static_cast<int>(f.rax),
                                     AUDIT_ARCH_X86_64,
                                     f.rip,
                                     {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9}});
}

bool filters_allow_own(const ThreadState* ts, long number, u64 a, u64 b, u64 c) {
  return filters_allow(ts->filters,
                       {static_cast<int>(number), AUDIT_ARCH_X86_64, base(), {a, b, c}});
}

void inherit_filters(ThreadState* child, const ThreadState* parent) {
  if (!latest_filters()) return;
  lock(filter_lock);  // a filter for all threads must not miss the child
  child->filters = parent->filters;
  unlock(filter_lock);
}

const Filter* latest_filters() {
  return __atomic_load_n(&all_filters, __ATOMIC_ACQUIRE);
}

// The format: for each filter, newest first, its instruction count as a u64 and its instructions.
long save_filters(const Filter* filters) {
  constexpr u64 kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const long fd = raw(__NR_memfd_create, ptr("mino-filters"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (is_error(fd)) return fd;
  const u64 number = static_cast<u64>(fd);
  bool good = true;
  for (; filters && good; filters = filters->before) {
    const u64 count = filters->count, bytes = count * sizeof(sock_filter);
    good = raw(__NR_write, number, ptr(&count), sizeof count) == sizeof count &&
           raw(__NR_write, number, ptr(filters->code()), bytes) == static_cast<long>(bytes);
  }
  if (good) good = raw(__NR_fcntl, number, F_ADD_SEALS, kAllSeals) == 0;
  if (good) return fd;
  raw(__NR_close, number);
  return -ENOMEM;
}

const Filter* load_filters(int fd) {
  const u64 number = static_cast<u64>(fd);
  const Filter* newest = nullptr;
  Filter* newer = nullptr;
  u64 at = 0, count = 0;
  while (raw(__NR_pread64, number, ptr(&count), sizeof count, at) == sizeof count) {
    const u64 bytes = count * sizeof(sock_filter);
    Filter* const filter =
        count && count <= BPF_MAXINSNS ? make_filter(static_cast<u32>(count)) : nullptr;
    if (!filter || raw(__NR_pread64, number, ptr(filter->code()), bytes, at + sizeof count) !=
                       static_cast<long>(bytes)) {
      newest = nullptr;
      break;
    }
    (newer ? newer->before : newest) = filter;
    newer = filter;
    at += sizeof count + bytes;
  }
  raw(__NR_close, number);
  all_filters = newest;
  return newest;
}

}  // namespace mino::hook
