// SPDX-License-Identifier: Apache-2.0
//
// What bytes pass through on their way between a file on the host and one on the device: a buffer,
// and a pipe on each side. In the pipes both kernels do what only they can: decide whether a file
// can be spliced, and what a blocking, a short or a failing transfer is. For hook/calls/splice.cc,
// splice_to_device.cc and splice_from_device.cc.
#pragma once

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/handler.h"

namespace mino::hook {

// The lane's arena, so that the bytes travel without another copy (hook/device/call.cc recognises
// windows that are there already). Or memory of the thread, with --no-windows, or if the arena is
// smaller than `wanted`.
struct Buffer {
  u8* data = nullptr;
  u64 bytes = 0;
};
Buffer copy_buffer(ThreadState* ts, u64 wanted);

// A pipe of this call alone. Empty whenever the hook waits for anything.
class HostPipe {
 public:
  HostPipe() = default;
  ~HostPipe();
  HostPipe(const HostPipe&) = delete;
  HostPipe& operator=(const HostPipe&) = delete;

  long open();  // 0 or the error
  u64 in() const { return static_cast<u64>(ends_[1]); }
  u64 out() const { return static_cast<u64>(ends_[0]); }
  u64 bytes() const { return bytes_; }  // what it holds at most; never less than a page
  void enlarge(u64 bytes);              // if the kernel lets us

 private:
  int ends_[2] = {-1, -1};
  u64 bytes_ = 0;
};

class DevicePipe {
 public:
  explicit DevicePipe(ThreadState* ts) : ts_(ts) {}
  ~DevicePipe();
  DevicePipe(const DevicePipe&) = delete;
  DevicePipe& operator=(const DevicePipe&) = delete;

  long open();
  u64 in() const { return static_cast<u64>(ends_[1]); }
  u64 out() const { return static_cast<u64>(ends_[0]); }
  u64 bytes() const { return bytes_; }
  long write(const u8* data, u64 bytes);  // into the empty pipe
  long read(u8* data, u64 bytes);         // what is in it

 private:
  ThreadState* ts_;
  long ends_[2] = {-1, -1};
  u64 bytes_ = 0;
};

// A file on the host, as the checks of splice and sendfile see it.
struct HostFile {
  u64 fd;
  long flags;  // F_GETFL; an error for no file at all
  u32 mode = 0;
  u64 size = 0;

  explicit HostFile(u64 number);
  bool open() const { return !is_error(flags) && !(flags & O_PATH); }
  bool readable() const { return open() && !(flags & O_WRONLY); }  // O_WRONLY | O_RDWR is neither
  bool writable() const { return open() && (flags & O_ACCMODE) - 1ul < 2; }
  bool pipe() const { return (mode & S_IFMT) == S_IFIFO; }
};

// A call to the device that a signal ends.
long device_wait(ThreadState* ts, long nr, u64 a, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0,
                 u64 f = 0);
bool is_device_socket(ThreadState* ts, u64 fd);
bool is_device_pipe(ThreadState* ts, u64 fd);
long device_flags(ThreadState* ts, u64 fd);  // F_GETFL

// Waits on the host: what poll says, or a restart code, or an error.
long wait_for(ThreadState* ts, u64 fd, short events);
u64 bytes_in_pipe(u64 pipe);

// Partial progress wins over an error, as in the kernel.
inline long outcome(u64 done, long last) {
  return done ? static_cast<long>(done) : last;
}

}  // namespace mino::hook
