// SPDX-License-Identifier: Apache-2.0
//
// See hook/preload/streams.h.
#include "hook/preload/streams.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"
#include "hook/preload/paths.h"

namespace mino::libc {
struct CookieFunctions {  // cookie_io_functions_t
  mino::hook::i64 (*read)(void*, char*, size_t);
  mino::hook::i64 (*write)(void*, const char*, size_t);
  int (*seek)(void*, mino::hook::i64*, int);
  int (*close)(void*);
};
MINO_LIBC(void*, fopencookie, void* cookie, const char* mode, CookieFunctions functions);
MINO_LIBC(int, setvbuf, void* stream, char* buffer, int mode, size_t bytes);
MINO_LIBC(int, fflush, void* stream);
MINO_LIBC(int, vsnprintf, char* to, size_t bytes, const char* format, __builtin_va_list arguments);
MINO_LIBC_VARIABLE(void*, standard_input, "stdin");
MINO_LIBC_VARIABLE(void*, standard_output, "stdout");
MINO_LIBC_VARIABLE(void*, standard_error, "stderr");
}  // namespace mino::libc

namespace mino::hook {

namespace {

struct Stream {
  u64 file;  // FILE*; 0: free, 1: being made
  int fd;
};
Stream streams[1024];
u32 streams_used;

int fd_of(void* cookie) {
  return static_cast<Stream*>(cookie)->fd;
}

i64 read_stream(void* cookie, char* to, size_t bytes) {
  return answer(mino_waiting_call(__NR_read, number(fd_of(cookie)), ptr(to), bytes));
}
i64 write_stream(void* cookie, const char* from, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const long n =
        mino_waiting_call(__NR_write, number(fd_of(cookie)), ptr(from + done), bytes - done);
    if (answer(n) < 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<i64>(done);
}
int seek_stream(void* cookie, i64* at, int whence) {
  const long result =
      mino_call(__NR_lseek, number(fd_of(cookie)), static_cast<u64>(*at), number(whence));
  if (!is_error(result)) *at = result;
  return answer(result) < 0 ? -1 : 0;
}
int close_stream(void* cookie) {
  const int fd = fd_of(cookie);
  __atomic_store_n(&static_cast<Stream*>(cookie)->file, 0, __ATOMIC_RELEASE);
  return static_cast<int>(answer(mino_waiting_call(__NR_close, number(fd))));
}

void* make_stream(int fd, const char* mode) {
  if (!libc::fopencookie) return answer(-ENOSYS), nullptr;
  for (Stream& s : streams) {
    u64 free = 0;
    if (!__atomic_compare_exchange_n(&s.file, &free, 1ull, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
      continue;
    s.fd = fd;
    const u32 used = static_cast<u32>(&s - streams) + 1;
    u32 known = __atomic_load_n(&streams_used, __ATOMIC_RELAXED);
    while (known < used && !__atomic_compare_exchange_n(&streams_used, &known, used, false,
                                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    void* const file =
        libc::fopencookie(&s, mode, {read_stream, write_stream, seek_stream, close_stream});
    __atomic_store_n(&s.file, ptr(file), __ATOMIC_RELEASE);
    return file;
  }
  return answer(-EMFILE), nullptr;
}

// The flags of open(2) for a mode of fopen(3); -1 if the mode is invalid.
int open_flags(const char* mode) {
  int access = 0, more = 0;
  if (*mode == 'w')
    access = O_WRONLY, more = O_CREAT | O_TRUNC;
  else if (*mode == 'a')
    access = O_WRONLY, more = O_CREAT | O_APPEND;
  else if (*mode != 'r')
    return -1;
  for (const char* p = mode + 1; *p && *p != ','; p++) {
    if (*p == '+') access = O_RDWR;
    if (*p == 'x') more |= O_EXCL;
    if (*p == 'e') more |= O_CLOEXEC;
  }
  return access | more;
}

int find_stream(const void* file) {
  const u32 used = __atomic_load_n(&streams_used, __ATOMIC_ACQUIRE);
  for (u32 i = 0; i < used; i++) {
    if (__atomic_load_n(&streams[i].file, __ATOMIC_ACQUIRE) == ptr(file)) return streams[i].fd;
  }
  return -1;
}

void* open_descriptor(int fd, const char* mode) {
  if (on_device(fd)) return make_stream(fd, mode);
  using Open = void* (*)(int, const char*);
  static Open open;
  if (!open) open = real<Open>("fdopen");
  return open(fd, mode);
}

void* open_stream(const char* path, const char* mode, const char* name) {
  const int flags = open_flags(mode);
  if (flags < 0 || !may_be_on_device(path)) {
    using Open = void* (*)(const char*, const char*);
    static Open open_by[2];
    Open& open = open_by[length(name) > 5];  // fopen, fopen64
    if (!open) open = real<Open>(name);
    return open(path, mode);
  }
  constexpr u64 kMode = 0666;
  const long fd = mino_waiting_call(__NR_open, ptr(path), number(flags), kMode);
  if (answer(fd) < 0) return nullptr;
  void* const file = open_descriptor(static_cast<int>(fd), mode);
  if (!file) mino_call(__NR_close, static_cast<u64>(fd));
  return file;
}

// Changes stdin, stdout or stderr after its descriptor has become an offloaded file, or stopped
// being one. It may have been offloaded at the start, as under inetd, or by dup2.
void follow_descriptor(int fd) {
  static void *of_libc[3], *of_ours[3];
  if (!hook_started() || fd < 0 || fd > 2 || this_process()->shares_memory) return;
  void** const variables[3] = {&libc::standard_input, &libc::standard_output,
                               &libc::standard_error};
  void*& now = *variables[fd];
  const bool ours = find_stream(now) == fd;
  if (on_device(fd) == ours) return;
  if (ours) {
    if (libc::fflush) libc::fflush(now);
    of_ours[fd] = now;
    now = of_libc[fd];
  } else if (of_ours[fd] && find_stream(of_ours[fd]) == fd) {
    // This descriptor had a stream before.
    of_libc[fd] = now;
    now = of_ours[fd];
  } else if (void* const stream = make_stream(fd, fd ? "w" : "r")) {
    of_libc[fd] = now;
    now = stream;
    if (fd == 2 && libc::setvbuf) libc::setvbuf(stream, nullptr, kUnbuffered, 0);
  }
}

int put_at(long nr, int fd, int to, int flags) {
  const long result = mino_call(nr, number(fd), number(to), number(flags));
  if (!is_error(result)) follow_descriptor(to);
  return static_cast<int>(answer(result));
}

// Formatted output to a descriptor, by one write.
int print_to(int fd, const char* format, __builtin_va_list arguments) {
  if (!on_device(fd)) {
    using Print = int (*)(int, const char*, __builtin_va_list);
    static Print print;
    if (!print) print = real<Print>("vdprintf");
    return print(fd, format, arguments);
  }
  __builtin_va_list again;
  __builtin_va_copy(again, arguments);
  char line[1024];
  char* text = line;
  const int bytes = libc::vsnprintf(line, sizeof line, format, arguments);
  const u64 room = bytes < 0 ? 0 : static_cast<u64>(bytes) + 1;
  if (room > sizeof line) {
    text = static_cast<char*>(map_pages(room));
    if (text) libc::vsnprintf(text, room, format, again);
  }
  __builtin_va_end(again);
  if (bytes < 0) return bytes;
  if (!text) return static_cast<int>(answer(-ENOMEM));
  u64 done = 0;
  while (done + 1 < room) {
    const long n = mino_waiting_call(__NR_write, number(fd), ptr(text + done), room - 1 - done);
    if (answer(n) < 0) break;
    done += static_cast<u64>(n);
  }
  if (text != line) unmap_pages(text, room);
  return done + 1 < room ? -1 : bytes;
}

}  // namespace

void prepare_streams() {
  for (int fd = 0; fd <= 2; fd++) follow_descriptor(fd);
}

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(void*, fdopen, int fd, const char* mode) {
  return open_descriptor(fd, mode);
}
MINO_EXPORT(void*, fopen, const char* path, const char* mode) {
  return open_stream(path, mode, "fopen");
}
MINO_EXPORT(void*, fopen64, const char* path, const char* mode) {
  return open_stream(path, mode, "fopen64");
}
MINO_EXPORT(int, fileno, void* file) {
  const int fd = find_stream(file);
  if (fd >= 0) return fd;
  using Number = int (*)(void*);
  static Number fileno_of;
  if (!fileno_of) fileno_of = real<Number>("fileno");
  return fileno_of(file);
}
MINO_EXPORT(int, fileno_unlocked, void* file) {
  return fileno(file);
}

MINO_EXPORT(int, dup2, int fd, int to) {
  return put_at(__NR_dup2, fd, to, 0);
}
MINO_EXPORT(int, __dup2, int fd, int to) {
  return put_at(__NR_dup2, fd, to, 0);
}
MINO_EXPORT(int, dup3, int fd, int to, int flags) {
  return put_at(__NR_dup3, fd, to, flags);
}

MINO_EXPORT(int, vdprintf, int fd, const char* format, __builtin_va_list arguments) {
  return print_to(fd, format, arguments);
}
MINO_EXPORT(int, __vdprintf_chk, int fd, int, const char* format, __builtin_va_list arguments) {
  return print_to(fd, format, arguments);
}
MINO_EXPORT(int, dprintf, int fd, const char* format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  const int result = print_to(fd, format, arguments);
  __builtin_va_end(arguments);
  return result;
}
MINO_EXPORT(int, __dprintf_chk, int fd, int, const char* format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  const int result = print_to(fd, format, arguments);
  __builtin_va_end(arguments);
  return result;
}

}  // namespace mino::libc
