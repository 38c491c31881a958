// SPDX-License-Identifier: Apache-2.0
//
// What /proc says of this process and thread, as proc(5) has it. A program's seccomp filter may not
// allow these calls: only for who knows that there is none.
#pragma once

#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

// The beginning of a file, ended by a NUL: its bytes, 0 without /proc.
inline u64 read_proc(const char* path, char* text, u64 room) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr(path), O_CLOEXEC, 0);
  if (is_error(fd)) return 0;
  const long got = raw(__NR_read, static_cast<u64>(fd), ptr(text), room - 1);
  raw(__NR_close, static_cast<u64>(fd));
  const u64 bytes = got > 0 ? static_cast<u64>(got) : 0;
  text[bytes] = 0;
  return bytes;
}

// A number of the calling thread's status, whose line begins with `name` ("\nUmask:\t") and is one
// of the first; false without /proc.
inline bool read_status(const char* name, u64 base, u64& value) {
  char text[256];
  if (!read_proc("/proc/thread-self/status", text, sizeof text)) return false;
  for (const char* at = text; *at; at++) {
    if (!starts_with(at, name)) continue;
    value = 0;
    for (at += length(name); *at >= '0' && *at <= '9'; at++)
      value = value * base + static_cast<u64>(*at - '0');
    return true;
  }
  return false;
}

}  // namespace mino::hook
