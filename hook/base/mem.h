// SPDX-License-Identifier: Apache-2.0
//
// The few memory and string functions that the hook needs, since it has no libc. They are for the
// hook's own memory only: client memory may be bad and goes through hook/base/user.h.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

inline void copy(void* to, const void* from, u64 bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
}
inline void fill(void* to, u8 value, u64 bytes) {
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}
inline u64 length(const char* s) {
  u64 n = 0;
  while (s[n]) n++;
  return n;
}
inline bool starts_with(const char* s, const char* prefix) {
  while (*prefix) {
    if (*s++ != *prefix++) return false;
  }
  return true;
}
inline bool equal(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
inline u64 min(u64 a, u64 b) {
  return a < b ? a : b;
}

// Reads decimal digits at `s` and moves s past them.
inline u64 parse_number(const char*& s) {
  u64 n = 0;
  while (*s >= '0' && *s <= '9') n = n * 10 + static_cast<u64>(*s++ - '0');
  return n;
}
// A hexadecimal digit in lower case, as the kernel writes them, or -1.
inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
inline u64 parse_hex(const char*& s) {
  u64 n = 0;
  for (int digit; (digit = hex_digit(*s)) >= 0; s++) n = n << 4 | static_cast<u64>(digit);
  return n;
}
// Writes n in decimal at `to`, without a NUL. Returns the end.
inline char* print_number(char* to, u64 n) {
  char digits[20];
  int count = 0;
  do digits[count++] = static_cast<char>('0' + n % 10);
  while (n /= 10);
  while (count) *to++ = digits[--count];
  return to;
}
inline char* print(char* to, const char* s) {
  while (*s) *to++ = *s++;
  return to;
}

}  // namespace mino::hook
