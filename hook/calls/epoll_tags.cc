// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/epoll_tags.h.
#include "hook/calls/epoll_tags.h"

#include "abi/parcel.h"
#include "hook/base/limits.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/device/export.h"
#include "hook/state/filters.h"

namespace mino::hook {

namespace {

constexpr char kMark[] = "\nlock:\t";

// The id in a line of fdinfo, from `at`, behind the mark; 0 if it is another lock.
//   lock:  1: OFDLCK ADVISORY  READ -1 00:10:1038 655884233731895160 655884233731895160
u64 id_in(const char* at, const char* end) {
  constexpr char kKind[] = ": OFDLCK ADVISORY  READ ";
  const auto skip_word = [&] {
    while (at < end && *at != ' ' && *at != '\n') at++;
    while (at < end && *at == ' ') at++;
  };
  while (at < end && *at >= '0' && *at <= '9') at++;
  if (!starts_with(at, kKind)) return 0;
  at += sizeof kKind - 1;
  skip_word();  // the process
  skip_word();  // the inode
  const u64 first = parse_number(at);
  skip_word();
  return parse_number(at) == first ? first : 0;
}

}  // namespace

bool is_epoll_file(u64 fd) {
  char link[40], name[32]{};
  *print_number(print(link, "/proc/thread-self/fd/"), fd) = 0;
  return raw(__NR_readlink, ptr(link), ptr(name), sizeof name - 1) > 0 &&
         starts_with(name, "anon_inode:[eventpoll]");
}

u64 read_tag(const ThreadState* ts, u64 epfd) {
  char path[56], text[512];
  *print_number(print(path, "/proc/thread-self/fdinfo/"), epfd) = 0;
  if (ts->filters && !filters_allow_own(ts, __NR_openat, AT_FDCWD, ptr(path))) return 0;
  const long file = with_more_numbers(
      [&] { return raw(__NR_openat, AT_FDCWD, ptr(path), O_RDONLY | O_CLOEXEC, 0); });
  if (is_error(file)) return 0;
  // Locks come before what may be long, the members.
  const long got = raw(__NR_read, static_cast<u64>(file), ptr(text), sizeof text - 1);
  raw(__NR_close, static_cast<u64>(file));
  const char* const end = text + (got > 0 ? got : 0);
  text[got > 0 ? got : 0] = 0;
  for (const char* at = text; at < end; at++) {
    if (!starts_with(at, kMark)) continue;
    if (const u64 id = id_in(at + sizeof kMark - 1, end)) return id;
  }
  return 0;
}

long tag_set(ThreadState* ts, u64 epfd) {
  if (read_tag(ts, epfd)) return 0;
  u64 id = 0;
  const long parcel = fetch_parcel(ts, epfd, id, abi::kForHolders);
  if (is_error(parcel)) return parcel;
  struct flock lock{};
  lock.l_type = F_RDLCK;
  lock.l_start = static_cast<__kernel_off_t>(id);
  lock.l_len = 1;
  const long result = raw(__NR_fcntl, epfd, F_OFD_SETLK, ptr(&lock));
  raw(__NR_close, static_cast<u64>(parcel));  // from now on the tag counts
  return result;
}

}  // namespace mino::hook
