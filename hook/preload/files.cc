// SPDX-License-Identifier: Apache-2.0
//
// Functions of libc that make one call on a file, or two, and something of the answer: statvfs(3),
// mkfifo(3), remove(3), posix_fallocate(3).
#include "hook/base/mem.h"
#include "hook/preload/libc.h"

namespace mino::hook {

struct Statvfs {
  u64 block_bytes, fragment_bytes, blocks, free, available, files, free_files, available_files, id,
      flags, name_bytes;
  u32 type;  // since glibc 2.39; before, spare
  u32 spare[5];
};
static_assert(sizeof(Statvfs) == 112);

namespace {

struct KernelStatfs {  // struct statfs
  i64 type, block_bytes;
  u64 blocks, free, available, files, free_files;
  u32 id[2];
  i64 name_bytes, fragment_bytes, flags, spare[4];
};
static_assert(sizeof(KernelStatfs) == 120);

constexpr long kMknod = 133, kMknodat = 259, kUnlink = 87, kRmdir = 84, kStatfs = 137,
               kFstatfs = 138, kFallocate = 285;
constexpr u32 kFifo = 0010000;

int convert(long result, const KernelStatfs& from, Statvfs* to) {
  if (is_error(result)) return static_cast<int>(answer(result));
  constexpr u64 kValid = 0x20;  // ST_VALID: the kernel has filled in flags
  const auto number = [](i64 value) { return static_cast<u64>(value); };
  *to = {number(from.block_bytes),
         number(from.fragment_bytes ? from.fragment_bytes : from.block_bytes),
         from.blocks,
         from.free,
         from.available,
         from.files,
         from.free_files,
         from.free_files,
         from.id[0] | u64{from.id[1]} << 32,
         number(from.flags) & ~kValid,
         number(from.name_bytes),
         static_cast<u32>(from.type),
         {}};
  return 0;
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, statvfs, const char* path, Statvfs* to) {
  KernelStatfs got;
  return convert(mino_call(kStatfs, ptr(path), ptr(&got)), got, to);
}
MINO_EXPORT(int, statvfs64, const char* path, Statvfs* to) {
  return statvfs(path, to);
}
MINO_EXPORT(int, fstatvfs, int fd, Statvfs* to) {
  KernelStatfs got;
  return convert(mino_call(kFstatfs, number(fd), ptr(&got)), got, to);
}
MINO_EXPORT(int, fstatvfs64, int fd, Statvfs* to) {
  return fstatvfs(fd, to);
}

MINO_EXPORT(int, mkfifo, const char* path, u32 mode) {
  return static_cast<int>(answer(mino_call(kMknod, ptr(path), mode | kFifo, 0)));
}
MINO_EXPORT(int, mkfifoat, int directory, const char* path, u32 mode) {
  return static_cast<int>(
      answer(mino_call(kMknodat, number(directory), ptr(path), mode | kFifo, 0)));
}

MINO_EXPORT(int, remove, const char* path) {
  constexpr long kIsDirectory = -21;
  long result = mino_call(kUnlink, ptr(path));
  if (result == kIsDirectory) result = mino_call(kRmdir, ptr(path));
  return static_cast<int>(answer(result));
}

// Where there is no fallocate, libc writes to each block; it cannot on the device.
MINO_EXPORT(int, posix_fallocate, int fd, i64 offset, i64 bytes) {
  if (!on_device(fd)) return real<int (*)(int, i64, i64)>("posix_fallocate")(fd, offset, bytes);
  return static_cast<int>(
      -mino_call(kFallocate, number(fd), 0, static_cast<u64>(offset), static_cast<u64>(bytes)));
}
MINO_EXPORT(int, posix_fallocate64, int fd, i64 offset, i64 bytes) {
  return posix_fallocate(fd, offset, bytes);
}

}  // namespace mino::libc
