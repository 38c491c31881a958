// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/warm.h.
#include "hook/catch/warm.h"

#include <initializer_list>

#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

bool WarmSites::are_of(const u8* id) const {
  u32 same = 0;
  while (same < kBuildIdBytes && build_id[same] == id[same]) same++;
  return count && same == kBuildIdBytes;
}

void WarmSites::add(const WarmSite& site) {
  if (count == kMost || site.offset >= kEnd) return;
  u32 at = count++;
  for (; at > 0 && sites[at - 1].offset > site.offset; at--) sites[at] = sites[at - 1];
  sites[at] = site;
}

bool is_common(int number) {
  for (const int n :
       {__NR_read, __NR_write, __NR_close, __NR_poll, __NR_lseek, __NR_mmap, __NR_mprotect,
        __NR_munmap, __NR_brk, __NR_rt_sigaction, __NR_ioctl, __NR_pread64, __NR_access, __NR_fcntl,
        __NR_readlink, __NR_openat, __NR_newfstatat, __NR_prlimit64}) {
    if (n == number) return true;
  }
  return false;
}

namespace {

char* print_hex(char* to, u32 n, u32 digits) {
  while (digits--) *to++ = "0123456789abcdef"[n >> digits * 4 & 15];
  return to;
}

bool read_hex(const char*& s, u32& n) {
  const char* const begin = s;
  n = static_cast<u32>(parse_hex(s));
  return s > begin && s - begin <= 8;
}

}  // namespace

char* print_warm_sites(char* to, const WarmSites& sites) {
  for (const u8 byte : sites.build_id) to = print_hex(to, byte, 2);
  for (u32 i = 0; i < sites.count; i++) {
    const WarmSite& site = sites.sites[i];
    *to++ = ',';
    to = print_hex(to, site.offset, 7);
    *to++ = site.head ? '+' : '-';
    to = print_hex(to, site.head ? site.head : static_cast<u8>(site.islet), 2);
  }
  return to;
}

void parse_warm_sites(const char* text, WarmSites& sites) {
  sites.count = 0;
  for (u8& byte : sites.build_id) {
    const int high = hex_digit(*text), low = high < 0 ? -1 : hex_digit(text[1]);
    if (low < 0) return;
    byte = static_cast<u8>(high << 4 | low);
    text += 2;
  }
  u32 count = 0;
  for (; *text == ',' && count < WarmSites::kMost; count++) {
    text++;
    u32 offset, how;
    if (!read_hex(text, offset) || (*text != '+' && *text != '-')) return;
    const bool head = *text++ == '+';
    if (!read_hex(text, how) || how > 255 || (head && how > 9)) return;
    sites.sites[count] = {offset, static_cast<u8>(head ? how : 0),
                          static_cast<signed char>(head ? 0 : how)};
  }
  if (*text == 0 || *text == ';') sites.count = count;
}

}  // namespace mino::hook
