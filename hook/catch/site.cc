// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/site.h for the questions, and hook/catch/patch.h for the forms.
#include "hook/catch/site.h"

#include "abi/syscalls.h"
#include "hook/base/mem.h"
#include "hook/state/thread.h"

namespace mino::hook {

namespace {

// The instructions that can be displaced neither jump nor address by %rip, and executing them twice
// is harmless.

// Whether the byte at p may begin an instruction. It does not if a REX prefix makes it another one
// (41 ba: mov $imm32,%r10d), or if it is the disp8 of one that ends in an imm32 (c7 45 b8: movl
// $imm32,-0x48(%rbp)).
bool may_begin(const u8* p) {
  const auto takes_both = [](u8 opcode) {
    return opcode == 0xc7 || opcode == 0x81 || opcode == 0x69;
  };
  const auto has_disp8 = [](u8 modrm) { return (modrm & 0xc0) == 0x40; };
  if ((p[-1] & 0xf0) == 0x40) return false;
  return !(takes_both(p[-2]) && has_disp8(p[-1])) &&
         !(takes_both(p[-3]) && has_disp8(p[-2]) && (p[-2] & 7) == 4);
}
u32 number_after(const u8* opcode) {
  u32 number;
  copy(&number, opcode + 1, 4);
  return number;
}
bool is_load_number(const u8* p) {  // mov $imm32,%eax
  return p[0] == 0xb8 && number_after(p) < 512 && may_begin(p);
}
bool is_load_from_stack(const u8* p) {  // mov disp8(%rsp),%r64: REX.W 8b /r 24 disp8
  return (p[0] == 0x48 || p[0] == 0x4c) && p[1] == 0x8b && (p[2] & 0xc7) == 0x44 && p[3] == 0x24;
}
bool is_load_edi(const u8* p) {  // mov disp8(%rsp),%edi
  return p[0] == 0x8b && p[1] == 0x7c && p[2] == 0x24 && may_begin(p);
}
bool is_load_edi_by_rbp(const u8* p) {  // mov disp8(%rbp),%edi
  return p[0] == 0x8b && p[1] == 0x7d && may_begin(p);
}
bool is_load_constant(const u8* p) {  // mov $imm32,%r32, except %esp
  return p[0] > 0xb8 && p[0] <= 0xbf && p[0] != 0xbc && may_begin(p);
}

// How many bytes before the `syscall` at `at` can be displaced with it, or 0.
u32 head_length(const u8* at) {
  if (is_load_number(at - 5) || is_load_from_stack(at - 5) || is_load_constant(at - 5)) return 5;
  if (is_load_edi(at - 4) && (is_load_number(at - 9) || is_load_from_stack(at - 9))) return 9;
  if (is_load_edi_by_rbp(at - 3) && is_load_number(at - 8)) return 8;
  if (is_load_edi(at - 6) && at[-2] == 0x31 && at[-1] == 0xc0) return 6;
  return 0;
}

bool is_bare(const u8* p) {
  // syscall; cmp $-4096 (or -4095),%rax
  if (p[2] == 0x48 && p[3] == 0x3d && p[4] <= 1 && p[5] == 0xf0 && p[6] == 0xff && p[7] == 0xff)
    return true;
  return p[-2] == 0x31 && p[-1] == 0xc0;  // xor %eax,%eax; syscall: read
}

}  // namespace

bool prove(const u8* at, const Image& image, bool any_number, Site& site) {
  const u32 head = head_length(at);
  const bool bare = is_bare(at);
  site = {const_cast<u8*>(at), 0, 0};
  if (head == 8 || (head == 5 && at[-5] == 0xb8)) {
    site.head = head;
    return any_number || mino_interest[number_after(at - head)];
  }
  if (head && (bare || (head == 5 && at[-1] == 8 && at[-3] == 0x4c)) &&
      (head != 6 || image.no_branch_into(ptr(at) - 5, ptr(at)))) {
    site.head = head;
    return true;
  }
  if (bare) site.islet = image.find_islet(ptr(at));
  return site.islet != 0;
}

bool prove_trapped(const u8* at, u64 number, bool live, const Image& image, Site& site) {
  const u32 head = ptr(at) >= image.begin() + 16 ? head_length(at) : 0;
  site = {const_cast<u8*>(at), 0, 0};
  if (head == 9 || (head == 6 && !live && image.no_branch_into(ptr(at) - 5, ptr(at))) ||
      ((head == 5 || head == 8) &&
       (at[-static_cast<i64>(head)] != 0xb8 || number_after(at - head) == number))) {
    site.head = head;
    return true;
  }
  site.islet = image.find_islet(ptr(at));
  return site.islet != 0;
}

bool looks_like(const Site& site, const Image& image) {
  const u64 at = ptr(site.at);
  if (at < image.begin() + 16 || at + 8 > image.end()) return false;
  if (site.at[0] != 0x0f || site.at[1] != 0x05) return false;
  if (site.head) return head_length(site.at) == site.head;
  const i64 distance = static_cast<i64>(site.islet - (at + 2));
  return distance >= -128 && distance <= 127 && image.is_padding(site.islet, 7);
}

int number_at(const u8* at) {
  if (at[-2] == 0x31 && at[-1] == 0xc0) return 0;
  for (const u8* p = at - 5; p > at - 16; p--) {
    if (p[0] == 0xb8 && number_after(p) < 512) return static_cast<int>(number_after(p));
  }
  return -1;
}

}  // namespace mino::hook
