// SPDX-License-Identifier: Apache-2.0
//
#include "hook/calls/seccomp.h"

#include "hook/base/mem.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/seccomp_front.h"
#include "hook/catch/disarm.h"
#include "hook/device/session.h"
#include "hook/start/home.h"

extern "C" {
extern const char etext[] __attribute__((visibility("hidden")));
extern const char mino_local_syscall[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

u32 filter_lock;  // reset_locks_in_child

namespace {

struct Program {  // struct sock_fprog
  u16 count;
  u16 pad[3];
  u64 instructions;
};

constexpr u32 kMaxInstructions = 4096;  // BPF_MAXINSNS
constexpr u64 kFlagTsync = 1, kFlagNewListener = 8;
constexpr u64 kPrSetSeccomp = 22, kPrGetSeccomp = 21, kPrSetNoNewPrivs = 38;
constexpr u64 kModeStrict = 1, kModeFilter = 2;

const Filter* all_filters;

u64 bytes_of(u32 count) {
  return sizeof(Filter) + count * sizeof(BpfInstruction);
}

Filter* make_filter(u32 count) {
  auto* const filter = static_cast<Filter*>(map_pages(bytes_of(count)));
  if (filter) filter->count = count;
  return filter;
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

// The same filter that threads install one after the other is kept once.
const Filter* keep(Filter* filter) {
  for (const Filter* f = all_filters; f; f = f->next) {
    if (!equal(f, filter)) continue;
    unmap_pages(filter, bytes_of(filter->count));
    return f;
  }
  filter->next = all_filters;
  __atomic_store_n(&all_filters, filter, __ATOMIC_SEQ_CST);  // before looking for threads
  return filter;
}

void took_hold(ThreadState* ts, Filter* filter, bool all_threads) {
  lock(filter_lock);
  const Filter* const kept = keep(filter);
  ts->filters = kept;
  for (ThreadState* t = all_threads ? first_thread() : nullptr; t; t = t->next) {
    if (t->group == ts->group && !t->exiting) t->filters = kept;
  }
  unlock(filter_lock);
  settings.patch = settings.links = false;  // which open files; patching changes memory, too
}

// What the hook may need of the host later, it takes now.
void get_ready(ThreadState* ts) {
  if (settings.active && ts->process->session().status == SessionStatus::kNone) ready(ts);
  u64 none = 0;
  if (!settings.home)
    __atomic_compare_exchange_n(&settings.home, &none, choose_home(), false, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
}

// Installs `filter` behind a front; the kernel's result.
long install(ThreadState* ts, Filter* filter, long number, u64 a, u64 b, bool all_threads,
             bool makes_fd) {
  end_rest();  // while that may be done
  const u64 bytes = (kMaxFront + filter->count) * sizeof(BpfInstruction);
  auto* const code = static_cast<BpfInstruction*>(map_pages(bytes));
  if (!code) return err::kNoMem;
  get_ready(ts);
  filter->before = ts->filters;
  const u32 front = write_front(code, {base(), ptr(etext), ptr(mino_local_syscall)}, settings.home);
  copy(code + front, filter->code(), filter->count * sizeof(BpfInstruction));
  long result = err::kInval;
  if (front + filter->count > kMaxInstructions) {
    char text[160];
    char* end = print(text, "mino: a seccomp filter of ");
    end = print(print_number(end, filter->count), " instructions is refused: with mino's own, ");
    end = print(print_number(end, kMaxInstructions), " are too few\n");
    raw(nr::kWrite, 2, ptr(text), static_cast<u64>(end - text));
  } else {
    const Program program{static_cast<u16>(front + filter->count), {}, ptr(code)};
    result = raw(number, a, b, ptr(&program));
  }
  unmap_pages(code, bytes);
  // With TSYNC a positive result is the thread that stood in the way.
  if (makes_fd ? is_error(result) : result != 0)
    unmap_pages(filter, bytes_of(filter->count));
  else
    took_hold(ts, filter, all_threads);
  return result;
}

// The kernel's strict mode would end the hook too: a filter with the same list, whose verdict
// end_strict carries out.
long do_strict(ThreadState* ts) {
  if (raw(nr::kPrctl, kPrGetSeccomp) != 0) return kLocal;  // EINVAL: there are filters
  constexpr BpfInstruction kStrict[] = {
      {bpf::kLoad, 0, 0, 4},
      {bpf::kJumpEqual, 0, 5, kArchX86_64},
      {bpf::kLoad, 0, 0, 0},
      {bpf::kJumpEqual, 4, 0, static_cast<u32>(nr::kRead)},
      {bpf::kJumpEqual, 3, 0, static_cast<u32>(nr::kWrite)},
      {bpf::kJumpEqual, 2, 0, static_cast<u32>(nr::kExit)},
      {bpf::kJumpEqual, 1, 0, static_cast<u32>(nr::kRtSigreturn)},
      {bpf::kReturn, 0, 0, kVerdictTrap},
      {bpf::kReturn, 0, 0, kVerdictAllow},
  };
  Filter* const filter = make_filter(sizeof kStrict / sizeof *kStrict);
  if (!filter) return err::kNoMem;
  copy(filter->code(), kStrict, sizeof kStrict);
  raw(nr::kPrctl, kPrSetNoNewPrivs, 1, 0, 0, 0);  // nobody can ask after it in strict mode
  ts->strict = true;
  const long result = install(ts, filter, nr::kPrctl, kPrSetSeccomp, kModeFilter, false, false);
  if (is_error(result)) ts->strict = false;
  return result;
}

}  // namespace

// seccomp(operation, flags, filter) and prctl(PR_SET_SECCOMP, mode, filter).
long do_seccomp(ThreadState* ts, const abi::Row& row) {
  constexpr u64 kSetModeStrict = 0, kSetModeFilter = 1;
  const Frame& f = ts->frame;
  const bool by_prctl = row.nr == nr::kPrctl;
  if (by_prctl ? f.rsi == kModeStrict : f.rdi == kSetModeStrict && !f.rsi && !f.rdx)
    return do_strict(ts);
  if (by_prctl ? f.rsi != kModeFilter : f.rdi != kSetModeFilter) return kLocal;
  Program program{};
  if (!user_read(f.rdx, &program, sizeof program) || program.count == 0 ||
      program.count > kMaxInstructions)
    return kLocal;  // the kernel's error
  Filter* const filter = make_filter(program.count);
  if (!filter) return err::kNoMem;
  if (!user_read(program.instructions, filter->code(), program.count * sizeof(BpfInstruction))) {
    unmap_pages(filter, bytes_of(program.count));
    return kLocal;
  }
  return install(ts, filter, row.nr, f.rdi, f.rsi, !by_prctl && (f.rsi & kFlagTsync),
                 !by_prctl && (f.rsi & kFlagNewListener));
}

bool filters_allow(const Filter* filters, const SeccompData& call) {
  // The lowest answer counts, taken for signed (kernel/seccomp.c:seccomp_run_filters).
  int lowest = static_cast<int>(kVerdictAllow);
  for (; filters; filters = filters->before) {
    const int verdict =
        static_cast<int>(run_bpf(filters->code(), filters->count, call) & kVerdictMask);
    if (verdict < lowest) lowest = verdict;
  }
  return lowest == static_cast<int>(kVerdictAllow) || lowest == static_cast<int>(kVerdictLog);
}

bool filters_allow_frame(const ThreadState* ts) {
  const Frame& f = ts->frame;
  return filters_allow(
      ts->filters,
      {static_cast<u32>(f.rax), kArchX86_64, f.rip, {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9}});
}

bool filters_allow_own(const ThreadState* ts, long number, u64 a, u64 b, u64 c) {
  return filters_allow(ts->filters, {static_cast<u32>(number), kArchX86_64, base(), {a, b, c}});
}

void inherit_filters(ThreadState* child, const ThreadState* parent) {
  if (!latest_filters()) return;
  lock(filter_lock);  // or one that is for all threads would miss the child
  child->filters = parent->filters;
  unlock(filter_lock);
}

const Filter* latest_filters() {
  return __atomic_load_n(&all_filters, __ATOMIC_ACQUIRE);
}

// For each filter, the newest first: the count as a u64, and its instructions.
long save_filters(const Filter* filters) {
  constexpr u64 kCloexecAllowSealing = 3, kFAddSeals = 1033, kAllSeals = 15;
  const long fd = raw(nr::kMemfdCreate, ptr("mino-filters"), kCloexecAllowSealing);
  if (is_error(fd)) return fd;
  const u64 number = static_cast<u64>(fd);
  bool good = true;
  for (; filters && good; filters = filters->before) {
    const u64 count = filters->count, bytes = count * sizeof(BpfInstruction);
    good = raw(nr::kWrite, number, ptr(&count), sizeof count) == sizeof count &&
           raw(nr::kWrite, number, ptr(filters->code()), bytes) == static_cast<long>(bytes);
  }
  if (good) good = raw(nr::kFcntl, number, kFAddSeals, kAllSeals) == 0;
  if (good) return fd;
  raw(nr::kClose, number);
  return err::kNoMem;
}

const Filter* load_filters(int fd) {
  const u64 number = static_cast<u64>(fd);
  const Filter* newest = nullptr;
  Filter* newer = nullptr;
  u64 at = 0, count = 0;
  while (raw(nr::kPread64, number, ptr(&count), sizeof count, at) == sizeof count) {
    const u64 bytes = count * sizeof(BpfInstruction);
    Filter* const filter =
        count && count <= kMaxInstructions ? make_filter(static_cast<u32>(count)) : nullptr;
    if (!filter || raw(nr::kPread64, number, ptr(filter->code()), bytes, at + sizeof count) !=
                       static_cast<long>(bytes)) {
      newest = nullptr;
      break;
    }
    (newer ? newer->before : newest) = filter;
    newer = filter;
    at += sizeof count + bytes;
  }
  raw(nr::kClose, number);
  all_filters = newest;
  return newest;
}

void end_strict(ThreadState* ts) {
  u32 threads = 0;
  for (const ThreadState* t = first_thread(); t; t = t->next)
    threads += !t->exiting && t->group == ts->group;
  constexpr u64 kSigKill = 9;
  if (threads == 1) {
    raw(nr::kTgkill, static_cast<u64>(raw(nr::kGetpid)), static_cast<u64>(raw(nr::kGettid)),
        kSigKill);
  }
  // The others live on. What the hook was about, if it was, stays as it is.
  if (ts->in_hook == kOutside) {
    ts->in_hook = kInside;
    release_lane(ts);
    leave_thread(ts);
    ts->in_hook = kOutside;
  }
  for (;;) raw(nr::kExit, kSigKill);
}

}  // namespace mino::hook
