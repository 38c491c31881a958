// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/epoll_inherited.h. The device's kernel tells in fdinfo what a set has:
//   tfd:        4 events:       19 data:                4  pos:0 ino:1104163 sdev:f
#include "hook/calls/epoll_inherited.h"

#include "hook/base/limits.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/epoll_shadow.h"
#include "hook/device/call.h"

namespace mino::hook {

namespace {

// Behind the next colon and blanks, or at the end.
void skip_name(const char*& at) {
  while (*at && *at != ':') at++;
  while (*at == ':' || *at == ' ' || *at == '\t') at++;
}

void learn_line(Process* process, u64 epfd, const char* at) {
  if (!starts_with(at, "tfd:")) return;
  skip_name(at);
  const u64 fd = parse_number(at);
  skip_name(at);
  const u32 events = static_cast<u32>(parse_hex(at));
  skip_name(at);
  const u64 data = parse_hex(at);
  // Other processes that have the set have registered files under numbers of their own.
  if (process->offloaded(fd))
    shadow_set(process, static_cast<u32>(epfd), static_cast<u32>(fd), {events, data});
}

// Reads the lines of the device's file at number `fd`.
void learn_lines(ThreadState* ts, u64 epfd, u64 fd) {
  char text[2048];
  u64 kept = 0;
  for (;;) {
    const long got = device_call(ts, __NR_read, fd, ptr(text + kept), sizeof text - 1 - kept);
    if (got <= 0) return;
    const u64 bytes = kept + static_cast<u64>(got);
    text[bytes] = 0;
    const char* line = text;
    for (const char* at = text; *at; at++) {
      if (*at != '\n') continue;
      learn_line(ts->process, epfd, line);
      line = at + 1;
    }
    kept = bytes - static_cast<u64>(line - text);
    if (kept == sizeof text - 1) return;
    for (u64 i = 0; i < kept; i++) text[i] = line[i];
  }
}

}  // namespace

void learn_members(ThreadState* ts, u64 epfd) {
  Process* const process = ts->process;
  if (shadow_knows(process, static_cast<u32>(epfd))) return;
  char path[56];
  *print_number(print(path, "/proc/thread-self/fdinfo/"), epfd) = 0;
  const u64 args[6] = {static_cast<u64>(AT_FDCWD), ptr(path), O_RDONLY | O_CLOEXEC};
  const long fd = with_more_numbers(
      [&] { return offload_new_fd(ts, *abi::find_row(__NR_openat), args, true); });
  if (is_error(fd)) return;
  shadow_begin(process, static_cast<u32>(epfd));
  learn_lines(ts, epfd, static_cast<u64>(fd));
  close_everywhere(ts, static_cast<u64>(fd));
}

}  // namespace mino::hook
