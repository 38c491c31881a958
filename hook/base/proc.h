// SPDX-License-Identifier: Apache-2.0
//
// Reads /proc about this process and this thread (proc(5)). A seccomp filter of the program may
// forbid the calls made here, so callers must know that the thread has no filter.
#pragma once

#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

// Reads the beginning of a file and ends it with a NUL. Returns how many bytes it read; 0 without
// /proc.
inline u64 read_proc(const char* path, char* text, u64 room) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr(path), O_CLOEXEC, 0);
  if (is_error(fd)) return 0;
  const long got = raw(__NR_read, static_cast<u64>(fd), ptr(text), room - 1);
  raw(__NR_close, static_cast<u64>(fd));
  const u64 bytes = got > 0 ? static_cast<u64>(got) : 0;
  text[bytes] = 0;
  return bytes;
}

// Reads a number from the calling thread's status file: the line begins with `name` ("\nUmask:\t")
// and must be among the first 255 bytes. False without /proc.
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
