// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/scan.h.
#include "hook/catch/scan.h"

#include "hook/catch/instruction.h"
#include "hook/catch/patch.h"
#include "hook/catch/site.h"

namespace mino::hook {

namespace {

const u8* code_at(u64 address) {
  return reinterpret_cast<const u8*>(address);
}

bool is_prefix(u8 byte) {
  return byte == 0x66 || byte == 0x67 || byte == 0x2e || byte == 0x36 || byte == 0x3e ||
         byte == 0x26 || byte == 0x64 || byte == 0x65 || byte == 0xf0 || byte == 0xf2 ||
         byte == 0xf3 || (byte & 0xf0) == 0x40;
}

bool all_prefixes(u64 from, u64 to) {
  while (from < to && is_prefix(*code_at(from))) from++;
  return from == to;
}

// Control does not continue after one of these.
bool ends_a_path(const u8* code) {
  if (is_prefix(code[0])) code++;
  return code[0] == 0xc3 || code[0] == 0xc2 || code[0] == 0xe9 || code[0] == 0xeb ||
         code[0] == 0xcc || code[0] == 0xf4 || code[0] == 0xff ||
         (code[0] == 0x0f && code[1] == 0x0b);
}

// Decodes all of [from, to), which contains both bytes at `at`. `own_end` is where the function
// ends by .eh_frame; what follows belongs to it only if control reaches it.
Verdict decode(u64 at, u64 from, u64 to, u64 own_end, u32& begins) {
  Verdict verdict = Verdict::kNone;
  begins = 0;
  for (u64 p = from; p < to;) {
    const u32 displaced = to - p >= 7 ? bytes_displaced(code_at(p)) : 0;
    const u32 n = displaced ? displaced : instruction_length(code_at(p), code_at(to));
    if (n == 0 || p + n > to) return Verdict::kUnclear;
    if (p + n >= own_end && p + n < to && ends_a_path(code_at(p))) return Verdict::kUnclear;
    if (p <= at && at - p < 32) begins |= 1u << (at - p);
    if (p == at) verdict = Verdict::kInstruction;
    if (p < at && p + n == at + 2) {
      // Bytes that a jump of ours has displaced but not overwritten: something may branch there.
      if (displaced) {
        verdict = Verdict::kInstruction;
        begins = 0;
      } else if (all_prefixes(p, at)) {
        return Verdict::kUnclear;
      }
    }
    p += n;
  }
  return verdict;
}

}  // namespace

Verdict judge(const Image& image, u64 at, u32& begins) {
  constexpr u64 kRoom = 16;
  if (at < image.begin() + kRoom || at + kRoom > image.end()) return Verdict::kUnclear;
  u64 from, to;
  Verdict verdict = Verdict::kUnclear;
  if (image.function_around(at, from, to)) {
    verdict = decode(at, from, to, to, begins);
  } else if (Site site; image.function_before(at, from, to) && at - to < kRoom &&
                        prove(code_at(at), image, true, site)) {
    // The .eh_frame records of clone and clone3 in glibc end a little before their `syscall`.
    verdict = decode(at, from, at + 2, to, begins);
  }
  const bool is_syscall = *code_at(at) == 0x0f && *code_at(at + 1) == 0x05;
  return verdict == Verdict::kInstruction && !is_syscall ? Verdict::kUnclear : verdict;
}

}  // namespace mino::hook
