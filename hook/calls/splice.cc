// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/splice.h. When one file is local and the other offloaded, the hook reads from one
// and writes to the other. Bytes from a local file are read straight into the arena and leave it as
// a window of the device's write, so they are copied once. When the receiver takes less than was
// read, nothing is lost: files are read again by offset, pipes are read with tee before they are
// consumed, sockets with MSG_PEEK.
#include "hook/calls/splice.h"

#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/interruptible.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Where the bytes of one step lie: in the lane's arena, so that they travel without another copy
// (hook/device/call.cc recognises windows that are there already). With --no-windows they lie in a
// buffer of the thread.
struct Step {
  u8* buffer = nullptr;
  u64 bytes = 0;
  explicit Step(ThreadState* ts) {
    constexpr u64 kMost = 256 << 10;
    if (settings.windows) {
      buffer = ts->lane.arena;
      bytes = min(kMost, ts->lane.arena_bytes - abi::upcall_reserve(ts->lane.arena_bytes));
    } else {
      if (!ts->copy_buffer) ts->copy_buffer = static_cast<u8*>(map_pages(kMost));
      buffer = ts->copy_buffer;
      bytes = kMost;
    }
  }
};

u32 file_mode(u64 fd) {
  struct stat info;
  return raw(__NR_fstat, fd, ptr(&info)) == 0 ? info.st_mode : 0;
}

u32 device_mode(ThreadState* ts, u64 fd) {
  struct stat info;
  const u64 args[6] = {fd, ptr(&info)};
  return offload(ts, *abi::find_row(__NR_fstat), args) == 0 ? info.st_mode : 0;
}

// Files in /proc and /sys have neither splice_read nor splice_write.
bool has_splice(ThreadState* ts, u64 fd) {
  struct statfs info;
  const u64 args[6] = {fd, ptr(&info)};
  return offload(ts, *abi::find_row(__NR_fstatfs), args) == 0 && info.f_type != PROC_SUPER_MAGIC &&
         info.f_type != SYSFS_MAGIC;
}

long device_write(ThreadState* ts, u64 fd, const u8* data, u64 bytes, u64 flags) {
  // Sockets take MSG_MORE and MSG_DONTWAIT; other files take a plain write.
  const u64 args[6] = {fd, ptr(data), bytes, flags, 0, 0};
  long result = offload(ts, *abi::find_row(__NR_sendto), args);
  if (result == -ENOTSOCK && !has_splice(ts, fd)) return -EINVAL;
  if (result == -ENOTSOCK) result = offload(ts, *abi::find_row(__NR_write), args);
  return result;
}

long device_read(ThreadState* ts, u64 fd, u8* data, u64 bytes, u64 flags) {
  const u64 args[6] = {fd, ptr(data), bytes, flags, 0, 0};
  return offload(ts, *abi::find_row(__NR_recvfrom), args);
}

// Partial progress wins over an error, as in the kernel.
long outcome(u64 done, long last) {
  return done ? static_cast<long>(done) : last;
}

// The loop of both directions of sendfile. `read(to, bytes, at)` reads one step, `write(from,
// bytes, more)` writes it. `keep(end)` moves the input file's position, unless the caller passed an
// offset.
template <class Read, class Write, class Keep>
long send_in_steps(ThreadState* ts, u64 offset_pointer, i64 offset, u64 count, Read read,
                   Write write, Keep keep) {
  const Step step(ts);
  if (!step.buffer) return -ENOMEM;
  u64 done = 0;
  long last = 0;
  while (done < count) {
    const u64 want = min(count - done, step.bytes);
    const long got = read(step.buffer, want, static_cast<u64>(offset) + done);
    if (got <= 0) {
      last = got;
      break;
    }
    const bool more = done + static_cast<u64>(got) < count && static_cast<u64>(got) == want;
    last = write(step.buffer, static_cast<u64>(got), more);
    if (last <= 0) break;
    done += static_cast<u64>(last);
    if (last < got || ts->deferred) break;
  }
  if (last < 0 && done == 0) return last;
  const i64 end = offset + static_cast<i64>(done);
  if (!offset_pointer) {
    keep(static_cast<u64>(end));
  } else if (!user_write(offset_pointer, &end, 8)) {
    return -EFAULT;
  }
  return static_cast<long>(done);
}

// sendfile from a local file to an offloaded file.
long send_local_file(ThreadState* ts, u64 out, u64 in, u64 offset_pointer, u64 count) {
  i64 offset = 0;
  if (offset_pointer) {
    if (!user_read(offset_pointer, &offset, 8)) return -EFAULT;
    if (offset < 0) return -EINVAL;
  } else {
    const long at = raw(__NR_lseek, in, 0, SEEK_CUR);
    if (is_error(at)) return at == -ESPIPE ? -EINVAL : at;
    offset = at;
  }
  if ((file_mode(in) & S_IFMT) != S_IFREG && (file_mode(in) & S_IFMT) != S_IFBLK) return -EINVAL;
  return send_in_steps(
      ts, offset_pointer, offset, min(count, MAX_RW_COUNT),
      [in](u8* to, u64 bytes, u64 at) { return raw(__NR_pread64, in, ptr(to), bytes, at); },
      [=](const u8* from, u64 bytes, bool more) {
        return device_write(ts, out, from, bytes, more ? MSG_MORE : 0);
      },
      [in](u64 end) { raw(__NR_lseek, in, end, SEEK_SET); });
}

// sendfile from an offloaded regular file to a local file.
long send_device_file(ThreadState* ts, u64 out, u64 in, u64 offset_pointer, u64 count) {
  i64 offset = -1;
  if (offset_pointer && !user_read(offset_pointer, &offset, 8)) return -EFAULT;
  if ((device_mode(ts, in) & S_IFMT) != S_IFREG || !has_splice(ts, in)) return -EINVAL;
  if (offset_pointer && offset < 0) return -EINVAL;
  const auto seek = [=](u64 to, u64 whence) {
    const u64 args[6] = {in, to, whence};
    return offload(ts, *abi::find_row(__NR_lseek), args);
  };
  if (offset < 0) offset = seek(0, SEEK_CUR);
  if (offset < 0) return offset;
  return send_in_steps(
      ts, offset_pointer, offset, count,
      [=](u8* to, u64 bytes, u64 at) {
        const u64 args[6] = {in, ptr(to), bytes, at};
        return offload(ts, *abi::find_row(__NR_pread64), args);
      },
      [=](const u8* from, u64 bytes, bool) {
        const u64 args[6] = {out, ptr(from), bytes};
        return mino_interruptible(ts, __NR_write, args);
      },
      [&](u64 end) { seek(end, SEEK_SET); });
}

long wait_for(ThreadState* ts, u64 fd, short events) {
  struct pollfd p{static_cast<int>(fd), events, 0};
  const u64 args[6] = {ptr(&p), 1, 0, 0, 8, 0};
  return mino_interruptible(ts, __NR_ppoll, args);
}

// splice from a local pipe to an offloaded socket. tee copies the bytes without consuming them.
long splice_out(ThreadState* ts, u64 pipe, u64 out, u64 count, u64 flags) {
  Step step(ts);
  int copy_pipe[2];
  if (!step.buffer) return -ENOMEM;
  if (const long made = raw(__NR_pipe2, ptr(copy_pipe), O_CLOEXEC); made < 0) return made;
  const u64 read_end = static_cast<u64>(copy_pipe[0]), write_end = static_cast<u64>(copy_pipe[1]);
  u64 done = 0;
  long last = 0;
  const long pipe_flags = raw(__NR_fcntl, pipe, F_GETFL);
  const bool nonblock =
      (flags & SPLICE_F_NONBLOCK) || (pipe_flags >= 0 && (pipe_flags & O_NONBLOCK));
  while (done < count) {
    u64 tee[6] = {pipe, write_end, min(count - done, min(65536, step.bytes)), SPLICE_F_NONBLOCK,
                  0,    0};
    last = raw(__NR_tee, tee[0], tee[1], tee[2], tee[3]);
    if (last == -EAGAIN && done == 0 && !nonblock) {
      last = wait_for(ts, pipe, POLLIN);
      if (last < 0) break;
      continue;
    }
    if (last <= 0) break;
    const long got = raw(__NR_read, read_end, ptr(step.buffer), static_cast<u64>(last));
    if (got <= 0) break;
    const u64 send_flags =
        ((flags & SPLICE_F_MORE) ? MSG_MORE : 0) | ((flags & SPLICE_F_NONBLOCK) ? MSG_DONTWAIT : 0);
    last = device_write(ts, out, step.buffer, static_cast<u64>(got), send_flags);
    if (last > 0) {
      raw(__NR_read, pipe, ptr(step.buffer), static_cast<u64>(last));  // consumed now
      done += static_cast<u64>(last);
    }
    if (last < got || ts->deferred) break;
  }
  raw(__NR_close, read_end);
  raw(__NR_close, write_end);
  return outcome(done, last);
}

// With kTLS, if a control record comes next, recv without a control buffer fails with EIO and
// splice with EINVAL.
bool has_tls(ThreadState* ts, u64 fd) {
  char name[16] = {};
  u32 bytes = sizeof name;
  const u64 args[6] = {fd, SOL_TCP, TCP_ULP, ptr(name), ptr(&bytes)};
  return offload(ts, *abi::find_row(__NR_getsockopt), args) == 0 && name[0] == 't' &&
         name[1] == 'l' && name[2] == 's' && name[3] == 0;
}

// splice from an offloaded socket to a local pipe: peek, write what the pipe takes, then consume
// exactly that.
long splice_in(ThreadState* ts, u64 in, u64 pipe, u64 count, u64 flags) {
  Step step(ts);
  if (!step.buffer) return -ENOMEM;
  u64 done = 0;
  long last = 0;
  const long pipe_flags = raw(__NR_fcntl, pipe, F_GETFL);
  const bool nonblock =
      (flags & SPLICE_F_NONBLOCK) || (pipe_flags >= 0 && (pipe_flags & O_NONBLOCK));
  // A pipe that polls writable takes this much without blocking.
  const u64 atomic = min(4096, step.bytes);
  while (done < count) {
    struct pollfd p{static_cast<int>(pipe), POLLOUT, 0};
    last = raw(__NR_poll, ptr(&p), 1, 0);
    if (last == 0) {
      if (done) break;
      if (nonblock) {
        last = -EAGAIN;
        break;
      }
      last = wait_for(ts, pipe, POLLOUT);
      if (last < 0) break;
      continue;
    }
    const u64 dontwait = done || (flags & SPLICE_F_NONBLOCK) ? MSG_DONTWAIT : 0;
    const long got =
        device_read(ts, in, step.buffer, min(count - done, atomic), MSG_PEEK | dontwait);
    if (got <= 0) {
      last = got == -EIO && has_tls(ts, in) ? -EINVAL : got;
      break;
    }
    last = raw(__NR_write, pipe, ptr(step.buffer), static_cast<u64>(got));
    if (last <= 0) break;
    device_read(ts, in, step.buffer, static_cast<u64>(last), MSG_DONTWAIT);
    done += static_cast<u64>(last);
    if (ts->deferred) break;
  }
  return outcome(done, last);
}

long do_splice(ThreadState* ts, const abi::Row& row, bool in_device, bool out_device) {
  const Frame& f = ts->frame;
  const u64 in = static_cast<u32>(f.rdi), out = static_cast<u32>(f.rdx);
  if (in_device && out_device) return offload_frame(ts, row);
  const u64 count = min(f.r8, MAX_RW_COUNT);
  constexpr u64 kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
  if (f.r9 & ~kSpliceFlags) return -EINVAL;
  if (count == 0) return 0;
  const u64 local = in_device ? out : in;
  if ((file_mode(local) & S_IFMT) != S_IFIFO) return file_mode(local) ? -EINVAL : -EBADF;
  if (in_device ? f.r10 : f.rsi) return -ESPIPE;  // a pipe has no offset
  if (in_device ? f.rsi : f.r10) return -EINVAL;  // neither has a socket
  return in_device ? splice_in(ts, in, out, count, f.r9) : splice_out(ts, in, out, count, f.r9);
}

}  // namespace

long do_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const bool is_splice = row.nr == __NR_splice, is_range = row.nr == __NR_copy_file_range;
  const u64 first = static_cast<u32>(f.rdi),
            second = static_cast<u32>(is_splice || is_range ? f.rdx : f.rsi);
  const bool first_device = ts->process->offloaded(first),
             second_device = ts->process->offloaded(second);
  if (!first_device && !second_device) return kLocal;
  if (ready(ts) != 0) return -ECONNRESET;
  if (is_splice) return do_splice(ts, row, first_device, second_device);
  if (first_device && second_device) return offload_frame(ts, row);
  if (row.nr == __NR_tee) return -EINVAL;  // tee needs two pipes
  if (is_range) {
    if (is_error(raw(__NR_fcntl, first, F_GETFD)) || is_error(raw(__NR_fcntl, second, F_GETFD)))
      return -EBADF;
    const u32 here = file_mode(first_device ? second : first),
              there = device_mode(ts, first_device ? first : second);
    return f.r9 || (here & S_IFMT) != S_IFREG || (there & S_IFMT) != S_IFREG ? -EINVAL : -EXDEV;
  }
  // sendfile(out, in, offset, count)
  if (is_error(raw(__NR_fcntl, first, F_GETFD)) || is_error(raw(__NR_fcntl, second, F_GETFD)))
    return -EBADF;
  const long result = first_device ? send_local_file(ts, first, second, f.rdx, f.r10)
                                   : send_device_file(ts, first, second, f.rdx, f.r10);
  return result;
}

}  // namespace mino::hook
