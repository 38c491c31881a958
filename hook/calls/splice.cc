// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/splice.h. The checks here are those of fs/splice.c and fs/read_write.c, in their
// order.
#include "hook/calls/splice.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/splice_from_device.h"
#include "hook/calls/splice_pipes.h"
#include "hook/calls/splice_to_device.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"

namespace mino::hook {

namespace {

constexpr u64 kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

bool is_readable(long flags) {
  return flags >= 0 && !(flags & (O_WRONLY | O_PATH));  // O_WRONLY | O_RDWR is neither
}

bool is_writable(long flags) {
  return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) - 1ul < 2;
}

// rw_verify_area()
bool is_area(i64 pos, u64 count) {
  return pos >= 0 && static_cast<i64>(count) >= 0 &&
         static_cast<i64>(static_cast<u64>(pos) + count) >= 0;
}

bool is_bad_pointer(u64 off) {
  i64 value;
  return off && !user_read(off, &value, sizeof value);
}

// splice between a file of the host and a pipe of the device, if it is one.
long splice_device_pipe(ThreadState* ts, const Frame& f, const HostFile& local, bool in_device) {
  const u64 there = static_cast<u32>(in_device ? f.rdi : f.rdx);
  const u64 off_here = in_device ? f.r10 : f.rsi, off_there = in_device ? f.rsi : f.r10;
  const bool is_pipe = is_device_pipe(ts, there);
  if (is_pipe && off_there) return -ESPIPE;
  if (is_bad_pointer(off_there) || is_bad_pointer(off_here)) return -EFAULT;
  const long flags = device_flags(ts, there);
  if (in_device ? !is_readable(flags) || !local.writable()
                : !is_writable(flags) || !local.readable())
    return -EBADF;
  if (!is_pipe) return -EINVAL;
  if (in_device) {
    const u64 nonblock = flags & O_NONBLOCK ? SPLICE_F_NONBLOCK : 0;
    return device_pipe_to_file(ts, there, local, off_here, f.r8, f.r9 | nonblock);
  }
  i64 pos = 0;
  const long at = raw(__NR_lseek, local.fd, 0, SEEK_CUR);
  if (off_here && raw(__NR_pread64, local.fd, 0, 0, 0) == -ESPIPE) return -EINVAL;
  if (!off_here) {
    pos = at < 0 ? 0 : at;
  } else if (!user_read(off_here, &pos, sizeof pos)) {
    return -EFAULT;
  }
  if (!is_area(pos, f.r8)) return -EINVAL;
  const long result = file_to_device(ts, local, at >= 0, there, pos, min(f.r8, MAX_RW_COUNT), f.r9);
  if (off_here && result >= 0 && !user_write(off_here, &pos, sizeof pos)) return -EFAULT;
  if (!off_here && result > 0 && at >= 0)
    raw(__NR_lseek, local.fd, static_cast<u64>(pos), SEEK_SET);
  return result;
}

long do_splice(ThreadState* ts, const abi::Row& row, bool in_device, bool out_device) {
  const Frame& f = ts->frame;
  if (in_device && out_device) return offload_frame(ts, row);
  const u64 in = static_cast<u32>(f.rdi), out = static_cast<u32>(f.rdx);
  if (f.r8 == 0) return 0;
  if (f.r9 & ~kSpliceFlags) return -EINVAL;
  const HostFile local(in_device ? out : in);
  if (!local.open()) return -EBADF;
  if (!local.pipe()) return splice_device_pipe(ts, f, local, in_device);
  if (in_device ? f.r10 : f.rsi) return -ESPIPE;
  const u64 off = in_device ? f.rsi : f.r10;
  if (is_bad_pointer(off)) return -EFAULT;
  if (in_device ? !local.writable() : !local.readable()) return -EBADF;
  if (static_cast<i64>(f.r8) < 0) return -EINVAL;
  const u64 count = min(f.r8, MAX_RW_COUNT);
  return in_device ? device_to_pipe(ts, row.nr, in, off, local, count, f.r9)
                   : pipe_to_device(ts, local, out, off, count, f.r9);
}

// sendfile from a file of the host. `offset` is the caller's, if there is one.
long send_local_file(ThreadState* ts, u64 out, u64 number, bool has_offset, i64& offset,
                     u64 count) {
  const HostFile in(number);
  if (!in.readable()) return -EBADF;
  const long at = raw(__NR_lseek, number, 0, SEEK_CUR);
  const bool seekable = at >= 0;
  // A file may have a position, and not be read at another one: eventfd, for one.
  if (has_offset && raw(__NR_pread64, number, 0, 0, 0) == -ESPIPE) return -ESPIPE;
  i64 pos = has_offset ? offset : seekable ? at : 0;
  if (!is_area(pos, count)) return -EINVAL;
  // Only what is surely a file to read, to a socket, goes without asking about the receiver.
  if (!seekable || count == 0 || (in.mode & S_IFMT) != S_IFREG || in.size == 0) {
    const bool is_pipe = is_device_pipe(ts, out);
    const long flags = device_flags(ts, out);
    if (!is_writable(flags)) return -EBADF;
    if (!is_pipe && (!seekable || (flags & O_APPEND))) return -EINVAL;
  }
  const long result = file_to_device(ts, in, seekable, out, pos, min(count, MAX_RW_COUNT), 0);
  if (has_offset) {
    offset = pos;
  } else if (result > 0 && seekable) {
    raw(__NR_lseek, number, static_cast<u64>(pos), SEEK_SET);
  }
  return result;
}

// sendfile from a file of the device, to what is no pipe.
long send_device_file(ThreadState* ts, const HostFile& out, u64 in, bool has_offset, i64& offset,
                      u64 count) {
  if (!is_readable(device_flags(ts, in))) return -EBADF;
  const long at = device_call(ts, __NR_lseek, in, 0, SEEK_CUR);
  const bool seekable = at >= 0;
  if (has_offset && device_call(ts, __NR_pread64, in, 0, 0, 0) == -ESPIPE) return -ESPIPE;
  i64 pos = has_offset ? offset : seekable ? at : 0;
  if (!is_area(pos, count)) return -EINVAL;
  if (!out.writable()) return -EBADF;
  if (!seekable || (out.flags & O_APPEND)) return -EINVAL;
  const long result = device_to_file(ts, in, out, pos, min(count, MAX_RW_COUNT));
  if (has_offset) {
    offset = pos;
  } else if (result > 0) {
    device_call(ts, __NR_lseek, in, static_cast<u64>(pos), SEEK_SET);
  }
  return result;
}

long do_sendfile(ThreadState* ts, bool out_device) {
  const Frame& f = ts->frame;
  const u64 out = static_cast<u32>(f.rdi), in = static_cast<u32>(f.rsi), count = f.r10;
  i64 offset = 0;
  if (f.rdx && !user_read(f.rdx, &offset, sizeof offset)) return -EFAULT;
  long result;
  if (out_device) {
    result = send_local_file(ts, out, in, f.rdx, offset, count);
  } else {
    const HostFile local(out);
    if (local.pipe()) {
      if (static_cast<i64>(count) < 0) return -EINVAL;
      if (!local.writable()) return f.rdx && is_device_socket(ts, in) ? -ESPIPE : -EBADF;
      if (count == 0) return 0;
      return device_to_pipe(ts, __NR_sendfile, in, f.rdx, local, min(count, MAX_RW_COUNT), 0);
    }
    result = send_device_file(ts, local, in, f.rdx, offset, count);
  }
  return f.rdx && !user_write(f.rdx, &offset, sizeof offset) ? -EFAULT : result;
}

long do_tee(ThreadState* ts, bool in_device) {
  const Frame& f = ts->frame;
  const u64 in = static_cast<u32>(f.rdi), out = static_cast<u32>(f.rsi);
  u64 flags = f.r10;
  if (flags & ~kSpliceFlags) return -EINVAL;
  if (f.rdx == 0) return 0;
  const HostFile local(in_device ? out : in);
  if (!local.open()) return -EBADF;
  const u64 other = in_device ? in : out;
  const long there = device_flags(ts, other);
  if (in_device ? !is_readable(there) || !local.writable()
                : !is_writable(there) || !local.readable())
    return -EBADF;
  if (!local.pipe() || !is_device_pipe(ts, other)) return -EINVAL;
  if ((local.flags | there) & O_NONBLOCK) flags |= SPLICE_F_NONBLOCK;
  const u64 count = min(f.rdx, MAX_RW_COUNT);
  return in_device ? tee_from_device(ts, in, local, count, flags)
                   : tee_to_device(ts, local, out, count, flags);
}

// copy_file_range between the host and the device: two file systems, at best.
long do_range(ThreadState* ts, bool in_device) {
  const Frame& f = ts->frame;
  const u64 in = static_cast<u32>(f.rdi), out = static_cast<u32>(f.rdx);
  const HostFile local(in_device ? out : in);
  if (!local.open()) return -EBADF;
  if (is_bad_pointer(f.rsi) || is_bad_pointer(f.r10)) return -EFAULT;
  if (f.r9) return -EINVAL;
  struct stat info;
  const u64 there = in_device ? in : out;
  const long flags = device_flags(ts, there);
  if (const long error = device_call(ts, __NR_fstat, there, ptr(&info))) return error;
  const u32 one = local.mode & S_IFMT, two = info.st_mode & S_IFMT;
  if (one == S_IFDIR || two == S_IFDIR) return -EISDIR;
  if (one != S_IFREG || two != S_IFREG) return -EINVAL;
  if (in_device ? !is_readable(flags) || !local.writable() || (local.flags & O_APPEND)
                : !local.readable() || !is_writable(flags) || (flags & O_APPEND))
    return -EBADF;
  return -EXDEV;
}

// A pipe that the device's kernel holds cannot take pages of the program: they are copied.
long do_vmsplice(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  if (f.r10 & ~kSpliceFlags) return -EINVAL;
  if (!is_device_pipe(ts, fd)) return offload_frame(ts, row);  // EBADF, or what comes before
  const bool writes = is_writable(device_flags(ts, fd));
  struct pollfd p{static_cast<int>(fd), static_cast<short>(writes ? POLLOUT : POLLIN), 0};
  if ((f.r10 & SPLICE_F_NONBLOCK) && device_call(ts, __NR_poll, ptr(&p), 1, 0) == 0) return -EAGAIN;
  return device_wait(ts, writes ? __NR_writev : __NR_readv, fd, f.rsi, f.rdx);
}

}  // namespace

long do_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const bool third = row.nr == __NR_splice || row.nr == __NR_copy_file_range;
  const u64 first = static_cast<u32>(f.rdi),
            second = row.nr == __NR_vmsplice ? first : static_cast<u32>(third ? f.rdx : f.rsi);
  const bool first_device = ts->process->offloaded(first),
             second_device = ts->process->offloaded(second);
  if ((ts->process->flags(first) | ts->process->flags(second)) & kPrivate) return -EBADF;
  if (!first_device && !second_device) return kLocal;
  if (ready(ts) != 0) return -ECONNRESET;
  if (row.nr == __NR_vmsplice) return do_vmsplice(ts, row);
  if (row.nr == __NR_splice) return do_splice(ts, row, first_device, second_device);
  if (first_device && second_device) return offload_frame(ts, row);
  if (row.nr == __NR_sendfile) return do_sendfile(ts, first_device);
  return row.nr == __NR_tee ? do_tee(ts, first_device) : do_range(ts, first_device);
}

}  // namespace mino::hook
