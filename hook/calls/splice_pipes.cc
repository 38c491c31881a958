// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/splice_pipes.h.
#include "hook/calls/splice_pipes.h"

#include "hook/base/limits.h"
#include "hook/base/pages.h"
#include "hook/device/call.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr u64 kMost = 1 << 20;

// The two ends must not cost the program a number: it may have used up all it has.
long make_pipe(int ends[2]) {
  return with_more_numbers([ends] { return raw(__NR_pipe2, ptr(ends), O_CLOEXEC); });
}

}  // namespace

Buffer copy_buffer(ThreadState* ts, u64 wanted) {
  constexpr u64 kFromArena = 256 << 10;
  if (settings.windows && !ts->lane_borrowed) {
    const u64 arena = ts->lane.arena_bytes - abi::upcall_reserve(ts->lane.arena_bytes);
    const u64 bytes = min(kFromArena, arena);
    if (bytes >= wanted) return {ts->lane.arena, bytes};
  }
  if (!ts->copy_buffer) ts->copy_buffer = static_cast<u8*>(map_pages(kMost));
  return {ts->copy_buffer, ts->copy_buffer ? kMost : 0};
}

HostPipe::~HostPipe() {
  for (const int end : ends_) {
    if (end >= 0) raw(__NR_close, static_cast<u64>(end));
  }
}

long HostPipe::open() {
  int ends[2];
  if (const long error = make_pipe(ends)) return error;
  ends_[0] = ends[0];
  ends_[1] = ends[1];
  const long size = raw(__NR_fcntl, in(), F_GETPIPE_SZ);
  bytes_ = size > 0 ? static_cast<u64>(size) : 4096;
  return 0;
}

void HostPipe::enlarge(u64 bytes) {
  if (bytes <= bytes_) return;
  const long size = raw(__NR_fcntl, in(), F_SETPIPE_SZ, bytes);
  if (size > 0) bytes_ = static_cast<u64>(size);
}

DevicePipe::~DevicePipe() {
  for (const long end : ends_) {
    if (end < 0) continue;
    close_everywhere(ts_, static_cast<u64>(end));
  }
}

long DevicePipe::open() {
  const LiftedLimits more(LiftedLimits::kNumbers);
  for (long& end : ends_) {
    end = take_number(ts_, true);
    if (end < 0) return end;
  }
  const long made = offload_op(ts_, abi::Op::kPipe, out(), in(), -1);
  if (made < 0) return made;
  for (const long end : ends_) ts_->process->set_flags(static_cast<u64>(end), kPrivate);
  const long size = device_call(ts_, __NR_fcntl, in(), F_GETPIPE_SZ);
  bytes_ = size > 0 ? static_cast<u64>(size) : 4096;
  return 0;
}

long DevicePipe::write(const u8* data, u64 bytes) {
  return device_call(ts_, __NR_write, in(), ptr(data), bytes);
}

long DevicePipe::read(u8* data, u64 bytes) {
  return device_call(ts_, __NR_read, out(), ptr(data), bytes);
}

HostFile::HostFile(u64 number) : fd(number), flags(raw(__NR_fcntl, number, F_GETFL)) {
  struct stat info;
  if (is_error(flags) || raw(__NR_fstat, fd, ptr(&info)) != 0) return;
  mode = info.st_mode;
  size = static_cast<u64>(info.st_size);
}

long device_wait(ThreadState* ts, long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  const u64 args[6] = {a, b, c, d, e, f};
  return offload(ts, *abi::find_row(static_cast<u64>(nr)), args);
}

bool is_device_socket(ThreadState* ts, u64 fd) {
  u32 type = 0, bytes = sizeof type;
  return device_call(ts, __NR_getsockopt, fd, SOL_SOCKET, SO_TYPE, ptr(&type), ptr(&bytes)) !=
         -ENOTSOCK;
}

bool is_device_pipe(ThreadState* ts, u64 fd) {
  struct stat info;
  return device_call(ts, __NR_fstat, fd, ptr(&info)) == 0 && (info.st_mode & S_IFMT) == S_IFIFO;
}

long device_flags(ThreadState* ts, u64 fd) {
  return device_call(ts, __NR_fcntl, fd, F_GETFL);
}

long wait_for(ThreadState* ts, u64 fd, short events) {
  struct pollfd p{static_cast<int>(fd), events, 0};
  const u64 args[6] = {ptr(&p), 1, 0, 0, 8, 0};
  const long result = mino_interruptible(ts, __NR_ppoll, args);
  return result == -EINTR ? abi::kErestartsys : result;
}

u64 bytes_in_pipe(u64 pipe) {
  int bytes = 0;
  raw(__NR_ioctl, pipe, FIONREAD, ptr(&bytes));
  return static_cast<u64>(bytes);
}

}  // namespace mino::hook
