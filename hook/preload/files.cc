// SPDX-License-Identifier: Apache-2.0
//
// Functions of libc that make one or two calls on a file and convert the result: statvfs(3),
// mkfifo(3), remove(3), posix_fallocate(3).
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

namespace mino::hook {

struct Statvfs {
  u64 block_bytes, fragment_bytes, blocks, free, available, files, free_files, available_files, id,
      flags, name_bytes;
  u32 type;  // since glibc 2.39; spare before
  u32 spare[5];
};
static_assert(sizeof(Statvfs) == 112);

namespace {

int convert(long result, const struct statfs& from, Statvfs* to) {
  if (is_error(result)) return static_cast<int>(answer(result));
  const auto number = [](i64 value) { return static_cast<u64>(value); };
  *to = {number(from.f_bsize),
         number(from.f_frsize ? from.f_frsize : from.f_bsize),
         number(from.f_blocks),
         number(from.f_bfree),
         number(from.f_bavail),
         number(from.f_files),
         number(from.f_ffree),
         number(from.f_ffree),
         static_cast<u32>(from.f_fsid.val[0]) | u64{static_cast<u32>(from.f_fsid.val[1])} << 32,
         number(from.f_flags) & ~u64{ST_VALID},
         number(from.f_namelen),
         static_cast<u32>(from.f_type),
         {}};
  return 0;
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, statvfs, const char* path, Statvfs* to) {
  struct statfs got;
  return convert(mino_call(__NR_statfs, ptr(path), ptr(&got)), got, to);
}
MINO_EXPORT(int, statvfs64, const char* path, Statvfs* to) {
  return statvfs(path, to);
}
MINO_EXPORT(int, fstatvfs, int fd, Statvfs* to) {
  struct statfs got;
  return convert(mino_call(__NR_fstatfs, number(fd), ptr(&got)), got, to);
}
MINO_EXPORT(int, fstatvfs64, int fd, Statvfs* to) {
  return fstatvfs(fd, to);
}

MINO_EXPORT(int, mkfifo, const char* path, u32 mode) {
  return static_cast<int>(answer(mino_call(__NR_mknod, ptr(path), mode | S_IFIFO, 0)));
}
MINO_EXPORT(int, mkfifoat, int directory, const char* path, u32 mode) {
  return static_cast<int>(
      answer(mino_call(__NR_mknodat, number(directory), ptr(path), mode | S_IFIFO, 0)));
}

MINO_EXPORT(int, remove, const char* path) {
  long result = mino_call(__NR_unlink, ptr(path));
  if (result == -EISDIR) result = mino_call(__NR_rmdir, ptr(path));
  return static_cast<int>(answer(result));
}

// Where fallocate is not supported, libc writes to each block. It cannot do that on the device.
MINO_EXPORT(int, posix_fallocate, int fd, i64 offset, i64 bytes) {
  if (!on_device(fd)) return real<int (*)(int, i64, i64)>("posix_fallocate")(fd, offset, bytes);
  return static_cast<int>(
      -mino_call(__NR_fallocate, number(fd), 0, static_cast<u64>(offset), static_cast<u64>(bytes)));
}
MINO_EXPORT(int, posix_fallocate64, int fd, i64 offset, i64 bytes) {
  return posix_fallocate(fd, offset, bytes);
}

}  // namespace mino::libc
