// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/disarm.h.
#include "hook/catch/disarm.h"

#include "hook/base/library.h"
#include "hook/base/mem.h"
#include "hook/base/proc.h"
#include "hook/base/uapi.h"
#include "hook/catch/image.h"
#include "hook/catch/patch.h"
#include "hook/catch/scan.h"
#include "hook/catch/site.h"
#include "hook/catch/sud.h"
#include "hook/state/filters.h"
#include "hook/state/process.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

bool disarmed;
bool never;  // something that the scan took for data has been executed
u32 attempts;

constexpr u32 kMostWithheld = 64;
u64 withheld[kMostWithheld];
u32 withheld_count;

// Text that holds rewritten instructions.
constexpr u32 kMostTexts = 128;
Range texts[kMostTexts];
u32 text_count;

bool withhold(u64 at) {
  const u64 page = at & ~4095ull;
  for (u32 i = 0; i < withheld_count; i++) {
    if (withheld[i] == page) return true;
  }
  if (withheld_count == kMostWithheld) return false;
  withheld[withheld_count++] = page;
  return true;
}

bool protect_withheld(u64 prot) {
  bool done = true;
  for (u32 i = 0; i < withheld_count; i++) done &= raw(__NR_mprotect, withheld[i], 4096, prot) == 0;
  return done;
}

void ask_about_changes(bool ask) {
  for (const abi::Row& row : abi::kSyscalls) {
    if (row.route == abi::Route::kText) mino_interest[row.nr] = ask ? kAsk : kNoInterest;
  }
}

// Not on the stack, where it would take 16 KiB.
Instruction found[1024];
u32 found_count;

bool note(const Image& image, u64 at) {
  u32 begins;
  switch (judge(image, at, begins)) {
    case Verdict::kNone:
      return true;
    case Verdict::kUnclear:
      return withhold(at);
    case Verdict::kInstruction:
      break;
  }
  if (found_count == sizeof found / sizeof found[0]) return false;
  found[found_count++] = {at, begins};
  return true;
}

// Judges every pair of bytes that could be `syscall`, `sysenter` or `int $0x80`.
bool scan_text(const Image& image) {
  found_count = 0;
  const auto* const end = reinterpret_cast<const u8*>(image.end());
  const auto* p = reinterpret_cast<const u8*>(image.begin());
  for (; (p = next_pair<0x050f, 0x340f, 0x80cd>(p, end)) < end; p++) {
    if (!note(image, ptr(p))) return false;
  }
  if (found_count == 0) return true;
  if (text_count == kMostTexts) return false;
  texts[text_count++] = {image.begin(), image.end()};
  return rewrite_all(image, found, found_count);
}

bool is_our_own(const Image& image) {
  return (image.begin() >= base() && image.begin() < end_of_text()) ||
         patcher_memory().holds(image.begin());
}

// Calls `visit` for all text except the vDSO and our own, until it returns false. Returns false
// then, and also if some text could not be found.
template <class Visit>
bool for_all_text(Visit visit) {
  for (u64 at = 0;;) {
    Image image;
    const Image::Next next = image.next_text(at);
    if (next != Image::Next::kText) return next == Image::Next::kNone;
    if (!image.is_vdso() && !is_our_own(image) && !visit(image)) return false;
    at = image.end();
  }
}

bool scan_all_text() {
  constexpr u64 kMost = 64 << 20;
  u64 bytes = 0;
  // First the cheap checks, for code that is made at run time or has no unwind information.
  return for_all_text([&](const Image& image) {
           bytes += image.end() - image.begin();
           return image.patchable() && image.has_functions() && bytes <= kMost;
         }) &&
         for_all_text([](Image& image) {
           const u64 end = image.end();
           image.end_where_unreadable(image.begin(), end);
           return image.end() == end && scan_text(image);
         });
}

constexpr u32 kAskPersonality = 0xffffffff;  // changes nothing (personality(2))

// With READ_IMPLIES_EXEC withheld pages would be executable. With MDWE they could not be made
// executable again.
bool memory_is_odd() {
  return static_cast<u64>(raw(__NR_personality, kAskPersonality)) & READ_IMPLIES_EXEC ||
         raw(__NR_prctl, PR_GET_MDWE, 0, 0, 0, 0) > 0;
}

// A debugger may have put breakpoints where instructions begin.
bool is_traced() {
  u64 tracer = 0;
  return !read_status("\nTracerPid:\t", 10, tracer) || tracer;
}

bool can_disarm(const ThreadState* ts) {
  return settings.disarm_after && settings.sud && settings.patch && !disarmed && !never &&
         !ts->filters && !ts->trace_me && !has_other_threads() && !ts->process->shares_memory &&
         !ts->process->threads && !memory_is_odd() && !is_traced();
}

// The trap is armed, or still armed: restores the `syscall` instructions and the permissions of
// withheld pages.
void undo() {
  ask_about_changes(false);
  protect_withheld(PROT_READ | PROT_EXEC);
  restore_replaced();
  withheld_count = text_count = 0;
}

}  // namespace

void try_to_disarm(ThreadState* ts) {
  constexpr u32 kMostAttempts = 6;
  ts->calls_left = settings.disarm_after << attempts;
  if (!can_disarm(ts)) return;
  if (attempts < kMostAttempts) attempts++;
  pause_patching();
  withheld_count = text_count = 0;
  if (scan_all_text() && protect_withheld(PROT_READ)) {
    ask_about_changes(true);
    disarmed = disarm_dispatch();
  }
  if (!disarmed) undo();
  resume_patching();
}

bool is_disarmed() {
  return disarmed;
}

void rearm() {
  if (!disarmed) return;
  disarmed = false;
  arm_dispatch();
  undo();
}

void rearm_for_good() {
  never = true;
  rearm();
}

void before_change_of_memory(u64 begin, u64 bytes) {
  if (!disarmed) return;
  bool meets = false;
  for (u32 i = 0; i < withheld_count; i++)
    meets |= Range{withheld[i], withheld[i] + 4096}.meets(begin, bytes);
  for (u32 i = 0; i < text_count; i++) meets |= texts[i].meets(begin, bytes);
  if (meets) rearm();
}

void before_change_of_text(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  switch (row.nr) {
    case __NR_mmap:
    case __NR_mprotect:
    case __NR_pkey_mprotect:
      if (f.rdx & PROT_EXEC) rearm();
      return before_change_of_memory(f.rdi, f.rsi);
    case __NR_madvise:
      if (f.rdx == MADV_DONTNEED) before_change_of_memory(f.rdi, f.rsi);
      return;
    case __NR_mremap:
      before_change_of_memory(f.rdi, f.rsi);
      return before_change_of_memory(f.r8, f.rdx);
    case __NR_shmat:
      if (f.rdx & SHM_EXEC) rearm();
      return;
    case __NR_personality:
      if (static_cast<u32>(f.rdi) == kAskPersonality || !(f.rdi & READ_IMPLIES_EXEC)) return;
      return rearm_for_good();
    default:
      return;
  }
}

void note_illegal_instruction() {
  constexpr u32 kMany = 1024;
  static u32 count;
  if (disarmed && ++count == kMany) rearm_for_good();
}

bool on_withheld_page(const SigInfo* info, const UContext* uc) {
  constexpr u64 kInstructionFetch = 16;
  if (!disarmed || !(uc->err & kInstructionFetch)) return false;
  for (u32 i = 0; i < withheld_count; i++) {
    if (withheld[i] != (info->fields[0] & ~4095ull)) continue;
    rearm_for_good();
    return true;
  }
  return false;
}

}  // namespace mino::hook
