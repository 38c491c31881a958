// SPDX-License-Identifier: Apache-2.0
#include "hook/rest.h"

#include "hook/image.h"
#include "hook/instruction.h"
#include "hook/mem.h"
#include "hook/patch.h"
#include "hook/site.h"
#include "hook/sud.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {

constexpr u64 kProtRead = 1, kProtExec = 4;

bool resting;
bool never;  // again: what was taken for data has been executed
u32 attempts;

constexpr u32 kMostWithheld = 64;
u64 withheld[kMostWithheld];
u32 withheld_count;

// Text that holds rewritten instructions.
struct Range {
  u64 begin, end;
  bool meets(u64 at, u64 bytes) const { return end > at && begin < at + bytes; }
};
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

void protect_withheld(u64 prot) {
  for (u32 i = 0; i < withheld_count; i++) raw(nr::kMprotect, withheld[i], 4096, prot);
}

void ask_about_changes(bool ask) {
  for (const abi::Row& row : abi::kSyscalls) {
    if (row.route == abi::Route::kText) mino_interest[row.nr] = ask ? kAsk : kNoInterest;
  }
}

// ---- the look ----

enum class Place { kBegins, kInside, kUnclear };

// What the byte at `at` is in the function [from, to): the beginning of an instruction, or within
// one. `begins`: see Instruction.
Place place_of(u64 at, u64 from, u64 to, u32& begins) {
  const auto* const end = reinterpret_cast<const u8*>(to);
  bool found = false;
  begins = 0;
  for (u64 p = from; p < to;) {
    const auto* const code = reinterpret_cast<const u8*>(p);
    const u32 displaced = to - p >= 7 ? bytes_displaced(code) : 0;
    const u32 n = displaced ? displaced : instruction_length(code, end);
    if (n == 0) return Place::kUnclear;
    // What a jump of ours has displaced and not overwritten: something may branch there.
    if (displaced && at == p + displaced - 2) return Place::kBegins;
    if (p <= at && at - p < 32) begins |= 1u << (at - p);
    found |= p == at;
    p += n;
    if (p > to) return Place::kUnclear;
  }
  return found ? Place::kBegins : Place::kInside;
}

enum class Kind { kSyscall, kOther };  // kOther: sysenter, int $0x80

// Not on the stack: it would be 16 KiB.
Instruction found[1024];
u32 found_count;

bool note(const Image& image, u64 at, Kind kind) {
  u64 from, to;
  u32 begins = ~0u;
  Place place = Place::kUnclear;
  if (at >= image.begin() + 16 && at + 16 <= image.end() && image.function_around(at, from, to))
    place = place_of(at, from, to, begins);
  else if (kind == Kind::kSyscall && at >= image.begin() + 16 && at + 16 <= image.end()) {
    // Outside all functions: the same proof as without a trap.
    Site site;
    if (prove(reinterpret_cast<const u8*>(at), image, true, site)) place = Place::kBegins;
  }
  if (place == Place::kInside) return true;
  if (place == Place::kUnclear || kind == Kind::kOther) return withhold(at);
  if (found_count == sizeof found / sizeof found[0]) return false;
  found[found_count++] = {at, begins};
  return true;
}

// Every pair of bytes that could be a `syscall`, `sysenter` or `int $0x80`.
bool look_through(const Image& image) {
  found_count = 0;
  const auto* const end = reinterpret_cast<const u8*>(image.end());
  const auto* p = reinterpret_cast<const u8*>(image.begin());
  for (; (p = next_pair<0x050f, 0x340f, 0x80cd>(p, end)) < end; p++) {
    if (!note(image, ptr(p), p[0] == 0x0f && p[1] == 0x05 ? Kind::kSyscall : Kind::kOther))
      return false;
  }
  if (found_count == 0) return true;
  if (text_count == kMostTexts) return false;
  texts[text_count++] = {image.begin(), image.end()};
  return rewrite_all(image, found, found_count);
}

bool is_our_own(const Image& image) {
  return (image.begin() >= ptr(__ehdr_start) && image.begin() < ptr(etext)) ||
         is_patchers(image.begin());
}

// Calls `visit` with all text but the kernel's and our own, until it says no.
template <class Visit>
bool for_all_text(Visit visit) {
  Image image;
  for (u64 at = 0; image.next_executable(at); at = image.end()) {
    if (!image.is_kernels() && !is_our_own(image) && !visit(image)) return false;
  }
  return true;
}

bool look_through_all() {
  constexpr u64 kMost = 64 << 20;
  u64 bytes = 0;
  // First what costs little: code that is made at run time, or without unwind information.
  return for_all_text([&](const Image& image) {
           bytes += image.end() - image.begin();
           return image.patchable() && image.has_functions() && bytes <= kMost;
         }) &&
         for_all_text([](Image& image) {
           const u64 end = image.end();
           image.end_where_unreadable(image.begin(), end);
           return image.end() == end && look_through(image);
         });
}

bool can_rest(const ThreadState* ts) {
  return settings.rest_after && settings.sud && settings.patch && !resting && !never &&
         !ts->filters && !ts->trace_me && !has_other_threads() && !ts->process->shares_memory &&
         !ts->process->threads;
}

}  // namespace

void try_to_rest(ThreadState* ts) {
  constexpr u32 kMostAttempts = 6;
  ts->calls_left = settings.rest_after << attempts;
  if (!can_rest(ts)) return;
  if (attempts < kMostAttempts) attempts++;
  pause_patching();
  withheld_count = text_count = 0;
  resting = look_through_all();
  if (resting) {
    protect_withheld(kProtRead);
    ask_about_changes(true);
    resting = disarm_dispatch();
  }
  if (!resting) {
    protect_withheld(kProtRead | kProtExec);
    ask_about_changes(false);
  }
  resume_patching();
}

bool at_rest() {
  return resting;
}

void end_rest() {
  if (!resting) return;
  resting = false;
  arm_dispatch();
  ask_about_changes(false);
  protect_withheld(kProtRead | kProtExec);
  withheld_count = 0;
}

void before_change_of_memory(u64 begin, u64 bytes) {
  if (!resting) return;
  for (u32 i = 0; i < withheld_count; i++) {
    if (Range{withheld[i], withheld[i] + 4096}.meets(begin, bytes)) return end_rest();
  }
}

void before_change_of_text(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr int kMremap = 25, kShmat = 30, kPersonality = 135, kPkeyMprotect = 329;
  constexpr u64 kShmExec = 0100000, kReadImpliesExec = 0x0400000, kAsk = 0xffffffff, kDontneed = 4;
  switch (row.nr) {
    case nr::kMmap:
    case nr::kMprotect:
    case kPkeyMprotect:
      if (f.rdx & kProtExec) end_rest();
      return before_change_of_memory(f.rdi, f.rsi);
    case nr::kMadvise:
      for (u32 i = 0; i < text_count && f.rdx == kDontneed; i++) {
        if (!resting || !texts[i].meets(f.rdi, f.rsi)) continue;
        never = true;
        end_rest();
      }
      return;
    case kMremap:
      before_change_of_memory(f.rdi, f.rsi);
      return before_change_of_memory(f.r8, f.rdx);
    case kShmat:
      if (f.rdx & kShmExec) end_rest();
      return;
    case kPersonality:
      if (static_cast<u32>(f.rdi) == kAsk || !(f.rdi & kReadImpliesExec)) return;
      never = true;
      return end_rest();
    default:
      return;
  }
}

bool on_withheld_page(const SigInfo* info, const UContext* uc) {
  constexpr u64 kInstructionFetch = 16;
  if (!resting || !(uc->err & kInstructionFetch)) return false;
  for (u32 i = 0; i < withheld_count; i++) {
    if (withheld[i] != (info->fields[0] & ~4095ull)) continue;
    never = true;
    end_rest();
    return true;
  }
  return false;
}

}  // namespace mino::hook
