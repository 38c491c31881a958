// SPDX-License-Identifier: Apache-2.0
//
// Functions of libc whose arguments are not quite those of the system call: with defaults or sizes
// that libc adds, the variants that _FORTIFY_SOURCE calls, and old names. Functions whose arguments
// are the same are in hook/preload/calls.h. Each must behave as glibc's does, down to errno.
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"
#include "hook/preload/paths.h"

namespace mino::libc {
MINO_LIBC(void, __chk_fail);
// Memory that the program will free.
__attribute__((weak, visibility("default"))) void* program_memory(hook::u64 bytes) asm("malloc");
}  // namespace mino::libc

namespace mino::hook {

namespace {

constexpr u64 kMaskBytes = 8;

long call(long nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) {
  return answer(mino_call(nr, a, b, c, d, e, f));
}
long wait(long nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) {
  return answer(mino_waiting_call(nr, a, b, c, d, e, f));
}

void check_room(u64 wanted, u64 room) {
  if (wanted > room) libc::__chk_fail();
}

struct Pair {
  i64 first, second;
};

}  // namespace

}  // namespace mino::hook

// A cancellation may come at any moment of the call. The hook lets its signal in at the end of the
// call.
extern "C" __attribute__((visibility("hidden"))) long mino_waiting_call(
    long nr, mino::hook::u64 a, mino::hook::u64 b, mino::hook::u64 c, mino::hook::u64 d,
    mino::hook::u64 e, mino::hook::u64 f) {
  using namespace mino;
  if (!libc::pthread_setcanceltype || hook::only_thread()) return mino_call(nr, a, b, c, d, e, f);
  int type, ours;
  libc::pthread_setcanceltype(hook::kCancelAsynchronous, &type);
  const long result = mino_call(nr, a, b, c, d, e, f);
  libc::pthread_setcanceltype(type, &ours);
  return result;
}

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(long, send, int fd, const void* buffer, u64 bytes, int flags) {
  return wait(__NR_sendto, number(fd), ptr(buffer), bytes, number(flags));
}
MINO_EXPORT(long, __send, int fd, const void* buffer, u64 bytes, int flags) {
  return send(fd, buffer, bytes, flags);
}
MINO_EXPORT(long, recv, int fd, void* buffer, u64 bytes, int flags) {
  return wait(__NR_recvfrom, number(fd), ptr(buffer), bytes, number(flags));
}
MINO_EXPORT(long, __recv_chk, int fd, void* buffer, u64 bytes, u64 room, int flags) {
  check_room(bytes, room);
  return recv(fd, buffer, bytes, flags);
}
MINO_EXPORT(long, __recvfrom_chk, int fd, void* buffer, u64 bytes, u64 room, int flags,
            void* address, u32* length) {
  check_room(bytes, room);
  return wait(__NR_recvfrom, number(fd), ptr(buffer), bytes, number(flags), ptr(address),
              ptr(length));
}
MINO_EXPORT(int, sockatmark, int fd) {
  int at_mark;
  const long result = call(__NR_ioctl, number(fd), SIOCATMARK, ptr(&at_mark));
  return result < 0 ? -1 : at_mark;
}
MINO_EXPORT(int, isfdtype, int fd, int type) {
  struct stat info;
  const long result = call(__NR_fstat, number(fd), ptr(&info));
  return result < 0 ? -1 : (info.st_mode & S_IFMT) == static_cast<u32>(type);
}

MINO_EXPORT(long, __read_chk, int fd, void* buffer, u64 bytes, u64 room) {
  check_room(bytes, room);
  return wait(__NR_read, number(fd), ptr(buffer), bytes);
}
MINO_EXPORT(long, __pread_chk, int fd, void* buffer, u64 bytes, i64 offset, u64 room) {
  check_room(bytes, room);
  return wait(__NR_pread64, number(fd), ptr(buffer), bytes, static_cast<u64>(offset));
}
MINO_EXPORT(long, __pread64_chk, int fd, void* buffer, u64 bytes, i64 offset, u64 room) {
  return __pread_chk(fd, buffer, bytes, offset, room);
}
// The system calls preadv2 and pwritev2 take the offset in two registers.
MINO_EXPORT(long, preadv2, int fd, const void* vector, int count, i64 offset, int flags) {
  return wait(__NR_preadv2, number(fd), ptr(vector), number(count), static_cast<u64>(offset), 0,
              number(flags));
}
MINO_EXPORT(long, preadv64v2, int fd, const void* vector, int count, i64 offset, int flags) {
  return preadv2(fd, vector, count, offset, flags);
}
MINO_EXPORT(long, pwritev2, int fd, const void* vector, int count, i64 offset, int flags) {
  return wait(__NR_pwritev2, number(fd), ptr(vector), number(count), static_cast<u64>(offset), 0,
              number(flags));
}
MINO_EXPORT(long, pwritev64v2, int fd, const void* vector, int count, i64 offset, int flags) {
  return pwritev2(fd, vector, count, offset, flags);
}

// Readiness. The kernel writes the time that is left into the timeout. libc hides that, except for
// select.
MINO_EXPORT(int, __poll_chk, void* fds, u64 count, int timeout, u64 room) {
  check_room(count * 8, room);
  return static_cast<int>(wait(__NR_poll, ptr(fds), count, number(timeout)));
}
MINO_EXPORT(int, ppoll, void* fds, u64 count, const void* timeout, const void* mask) {
  Pair left{};
  if (timeout) left = *static_cast<const Pair*>(timeout);
  return static_cast<int>(
      wait(__NR_ppoll, ptr(fds), count, timeout ? ptr(&left) : 0, ptr(mask), kMaskBytes));
}
MINO_EXPORT(int, __ppoll_chk, void* fds, u64 count, const void* timeout, const void* mask,
            u64 room) {
  check_room(count * 8, room);
  return ppoll(fds, count, timeout, mask);
}
MINO_EXPORT(int, pselect, int count, void* in, void* out, void* except, const void* timeout,
            const void* mask) {
  Pair left{};
  if (timeout) left = *static_cast<const Pair*>(timeout);
  const u64 mask_and_size[2] = {ptr(mask), kMaskBytes};
  return static_cast<int>(wait(__NR_pselect6, number(count), ptr(in), ptr(out), ptr(except),
                               timeout ? ptr(&left) : 0, ptr(mask_and_size)));
}
MINO_EXPORT(int, epoll_pwait, int fd, void* events, int count, int timeout, const void* mask) {
  return static_cast<int>(wait(__NR_epoll_pwait, number(fd), ptr(events), number(count),
                               number(timeout), ptr(mask), kMaskBytes));
}
MINO_EXPORT(int, epoll_pwait2, int fd, void* events, int count, const void* timeout,
            const void* mask) {
  return static_cast<int>(wait(__NR_epoll_pwait2, number(fd), ptr(events), number(count),
                               ptr(timeout), ptr(mask), kMaskBytes));
}

// Descriptors.
MINO_EXPORT(int, fcntl, int fd, int command, u64 argument) {
  // F_GETOWN returns a process group as a negative number, which must not look like an error.
  if (command == F_GETOWN) {
    f_owner_ex owner{};
    const long result = call(__NR_fcntl, number(fd), F_GETOWN_EX, ptr(&owner));
    return result < 0 ? -1 : owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
  }
  const bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
  return static_cast<int>(waits ? wait(__NR_fcntl, number(fd), number(command), argument)
                                : call(__NR_fcntl, number(fd), number(command), argument));
}
MINO_EXPORT(int, fcntl64, int fd, int command, u64 argument) {
  return fcntl(fd, command, argument);
}
MINO_EXPORT(int, __fcntl, int fd, int command, u64 argument) {
  return fcntl(fd, command, argument);
}
MINO_EXPORT(void, closefrom, int lowest) {
  mino_call(__NR_close_range, lowest > 0 ? number(lowest) : 0, ~0u, 0);
}
MINO_EXPORT(long, syscall, long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  return answer(number == kErrand ? -ENOSYS : mino_call(number, a, b, c, d, e, f));
}

// Files.
MINO_EXPORT(int, __open_2, const char* path, int flags) {
  return static_cast<int>(wait(__NR_open, ptr(path), number(flags)));
}
MINO_EXPORT(int, __open64_2, const char* path, int flags) {
  return __open_2(path, flags);
}
MINO_EXPORT(int, __openat_2, int directory, const char* path, int flags) {
  return static_cast<int>(wait(__NR_openat, number(directory), ptr(path), number(flags)));
}
MINO_EXPORT(int, __openat64_2, int directory, const char* path, int flags) {
  return __openat_2(directory, path, flags);
}
MINO_EXPORT(int, __xstat, int, const char* path, void* status) {
  return static_cast<int>(call(__NR_stat, ptr(path), ptr(status)));
}
MINO_EXPORT(int, __xstat64, int version, const char* path, void* status) {
  return __xstat(version, path, status);
}
MINO_EXPORT(int, __fxstat, int, int fd, void* status) {
  return static_cast<int>(call(__NR_fstat, number(fd), ptr(status)));
}
MINO_EXPORT(int, __fxstat64, int version, int fd, void* status) {
  return __fxstat(version, fd, status);
}
MINO_EXPORT(int, __lxstat, int, const char* path, void* status) {
  return static_cast<int>(call(__NR_lstat, ptr(path), ptr(status)));
}
MINO_EXPORT(int, __lxstat64, int version, const char* path, void* status) {
  return __lxstat(version, path, status);
}
MINO_EXPORT(int, __fxstatat, int, int directory, const char* path, void* status, int flags) {
  return static_cast<int>(
      call(__NR_newfstatat, number(directory), ptr(path), ptr(status), number(flags)));
}
MINO_EXPORT(int, __fxstatat64, int version, int directory, const char* path, void* status,
            int flags) {
  return __fxstatat(version, directory, path, status, flags);
}
MINO_EXPORT(long, __readlink_chk, const char* path, char* to, u64 bytes, u64 room) {
  check_room(bytes, room);
  return call(__NR_readlink, ptr(path), ptr(to), bytes);
}
MINO_EXPORT(long, __readlinkat_chk, int directory, const char* path, char* to, u64 bytes,
            u64 room) {
  check_room(bytes, room);
  return call(__NR_readlinkat, number(directory), ptr(path), ptr(to), bytes);
}
MINO_EXPORT(int, faccessat, int directory, const char* path, int mode, int flags) {
  return static_cast<int>(call(flags ? __NR_faccessat2 : __NR_faccessat, number(directory),
                               ptr(path), number(mode), number(flags)));
}
MINO_EXPORT(int, fchmodat, int directory, const char* path, u32 mode, int flags) {
  if (!flags) return static_cast<int>(call(__NR_fchmodat, number(directory), ptr(path), mode));
  const long result = mino_call(__NR_fchmodat2, number(directory), ptr(path), mode, number(flags));
  if (result != -ENOSYS) return static_cast<int>(answer(result));
  if (on_device(directory) || may_be_on_device(path)) return static_cast<int>(answer(-EOPNOTSUPP));
  // Before Linux 6.6, libc does it by /proc.
  return real<int (*)(int, const char*, u32, int)>("fchmodat")(directory, path, mode, flags);
}
MINO_EXPORT(int, futimens, int fd, const void* times) {
  return static_cast<int>(call(__NR_utimensat, number(fd), 0, ptr(times), 0));
}
MINO_EXPORT(int, posix_fadvise, int fd, i64 offset, i64 bytes, int advice) {
  return static_cast<int>(-mino_call(__NR_fadvise64, number(fd), static_cast<u64>(offset),
                                     static_cast<u64>(bytes), number(advice)));
}
MINO_EXPORT(int, posix_fadvise64, int fd, i64 offset, i64 bytes, int advice) {
  return posix_fadvise(fd, offset, bytes, advice);
}
MINO_EXPORT(int, umount, const char* path) {
  return static_cast<int>(call(__NR_umount2, ptr(path), 0));
}
MINO_EXPORT(char*, getcwd, char* to, u64 bytes) {
  using Getcwd = char* (*)(char*, u64);
  static Getcwd real_getcwd;
  if (!hook_started() || !this_process()->directory->offloaded || (!to && !program_memory)) {
    if (!real_getcwd) real_getcwd = real<Getcwd>("getcwd");
    return real_getcwd(to, bytes);
  }
  if (to) return call(__NR_getcwd, ptr(to), bytes) < 0 ? nullptr : to;
  // An extension of libc: memory that the caller frees; 0 bytes means as much as is needed.
  char path[4096];
  const long used =
      call(__NR_getcwd, ptr(path), bytes && bytes < sizeof path ? bytes : sizeof path);
  if (used < 0) return nullptr;
  const u64 room = bytes ? bytes : static_cast<u64>(used);
  to = static_cast<char*>(program_memory(room));
  if (to) copy(to, path, static_cast<u64>(used));
  return to;
}

}  // namespace mino::libc
