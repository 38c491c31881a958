// SPDX-License-Identifier: Apache-2.0
//
// opendir, readdir and the rest of that family for offloaded directories, and for lists of the
// program's descriptors, whose entries libc would read unseen. The kernel's entries
// (linux_dirent64) have the layout of libc's struct dirent. A Listing must never reach libc, nor a
// DIR of libc be read here: every function looks at the mark first.
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/calls/descriptor_list.h"
#include "hook/preload/libc.h"
#include "hook/preload/paths.h"

namespace mino::hook {

namespace {

struct Listing {
  u64 mark;  // libc's DIR has its descriptor here, which is never kMark
  int fd;
  u32 at, end;  // offsets in `entries`, of what was read and not returned yet
  i64 position;
  u8 entries[32 << 10];
};
constexpr u64 kMark = 0x6f6e696dffffff85;

struct Entry {
  u64 inode;
  i64 next;
  u16 bytes;
};

Listing* own(void* directory) {
  u64 mark = 0;
  copy(&mark, directory, sizeof mark);
  return mark == kMark ? static_cast<Listing*>(directory) : nullptr;
}

template <class Result>
Result by_libc(const char* name, void* directory) {
  return real<Result (*)(void*)>(name)(directory);
}

void* make_directory(int fd) {
  auto* const d = static_cast<Listing*>(map_pages(sizeof(Listing)));
  if (!d) return answer(-ENOMEM), nullptr;
  d->mark = kMark;
  d->fd = fd;
  return d;
}

void* next_entry(Listing* d) {
  if (d->at >= d->end) {
    const long got = mino_call(__NR_getdents64, number(d->fd), ptr(d->entries), sizeof d->entries);
    if (got <= 0) return answer(got), nullptr;
    d->at = 0;
    d->end = static_cast<u32>(got);
  }
  Entry head;
  copy(&head, d->entries + d->at, sizeof head);
  void* const entry = d->entries + d->at;
  d->at += head.bytes;
  d->position = head.next;
  return entry;
}

void go_to(Listing* d, i64 position) {
  mino_call(__NR_lseek, number(d->fd), static_cast<u64>(position), SEEK_SET);
  d->at = d->end = 0;
  d->position = position;
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(void*, fdopendir, int fd) {
  if (on_device(fd) || (hook_started() && lists_own_descriptors(number(fd))))
    return make_directory(fd);
  return real<void* (*)(int)>("fdopendir")(fd);
}
MINO_EXPORT(void*, opendir, const char* path) {
  if (!may_be_on_device(path)) return real<void* (*)(const char*)>("opendir")(path);
  const long fd = mino_call(__NR_open, ptr(path), O_DIRECTORY | O_CLOEXEC);
  if (answer(fd) < 0) return nullptr;
  void* const directory = fdopendir(static_cast<int>(fd));
  if (!directory) mino_call(__NR_close, static_cast<u64>(fd));
  return directory;
}
MINO_EXPORT(void*, readdir, void* directory) {
  if (Listing* d = own(directory)) return next_entry(d);
  using Read = void* (*)(void*);
  static Read read;
  if (!read) read = real<Read>("readdir");
  return read(directory);
}
MINO_EXPORT(void*, readdir64, void* directory) {
  return readdir(directory);
}
// Deprecated, but libc's function would take the mark for a lock.
MINO_EXPORT(int, readdir_r, void* directory, void* entry, void** result) {
  Listing* d = own(directory);
  if (!d) return real<int (*)(void*, void*, void**)>("readdir_r")(directory, entry, result);
  int* const error = __errno_location();
  const int before = *error;
  *error = 0;
  const void* const next = next_entry(d);
  const int failed = *error;
  *error = before;
  if (next) copy(entry, next, static_cast<const Entry*>(next)->bytes);
  *result = next ? entry : nullptr;
  return failed;
}
MINO_EXPORT(int, readdir64_r, void* directory, void* entry, void** result) {
  return readdir_r(directory, entry, result);
}
MINO_EXPORT(int, closedir, void* directory) {
  Listing* d = own(directory);
  if (!d) return by_libc<int>("closedir", directory);
  const long result = mino_call(__NR_close, number(d->fd));
  unmap_pages(d, sizeof *d);
  return static_cast<int>(answer(result));
}
MINO_EXPORT(int, dirfd, void* directory) {
  const Listing* d = own(directory);
  return d ? d->fd : by_libc<int>("dirfd", directory);
}
MINO_EXPORT(long, telldir, void* directory) {
  const Listing* d = own(directory);
  return d ? d->position : by_libc<long>("telldir", directory);
}
MINO_EXPORT(void, rewinddir, void* directory) {
  if (Listing* d = own(directory))
    go_to(d, 0);
  else
    by_libc<void>("rewinddir", directory);
}
MINO_EXPORT(void, seekdir, void* directory, long position) {
  if (Listing* d = own(directory))
    go_to(d, position);
  else
    real<void (*)(void*, long)>("seekdir")(directory, position);
}

}  // namespace mino::libc
