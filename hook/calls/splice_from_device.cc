// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/splice_from_device.h. A socket is received from. From any other file, the
// device's kernel splices to a pipe of its own.
#include "hook/calls/splice_from_device.h"

#include "hook/device/call.h"
#include "hook/state/interruptible.h"

namespace mino::hook {

namespace {

constexpr u64 kSlot = 4096;  // a pipe has a number of slots, each a page

u64 capacity(u64 pipe) {
  const long bytes = raw(__NR_fcntl, pipe, F_GETPIPE_SZ);
  return bytes > 0 ? static_cast<u64>(bytes) : kSlot;
}

// How much a pipe that polls writable takes for sure. Each byte in it may occupy a page.
u64 sure_room(u64 pipe) {
  const u64 pages = capacity(pipe) / kSlot, used = bytes_in_pipe(pipe);
  return used < pages ? (pages - used) * kSlot : kSlot;
}

// Puts bytes that there is room for into a pipe. If somebody else has filled it meanwhile, this
// waits: the bytes are nowhere else.
long put(u64 pipe, const u8* data, u64 bytes) {
  for (u64 done = 0; done < bytes;) {
    const long wrote = raw(__NR_write, pipe, ptr(data + done), bytes - done);
    if (wrote > 0) done += static_cast<u64>(wrote);
    if (wrote == -EAGAIN) {
      struct pollfd p{static_cast<int>(pipe), POLLOUT, 0};
      raw(__NR_poll, ptr(&p), 1, ~0ull);
    } else if (wrote < 0 && wrote != -EINTR) {
      return wrote;
    }
  }
  return static_cast<long>(bytes);
}

// With kTLS, if a control record comes next, recv without a control buffer fails with EIO and
// splice with EINVAL.
bool has_tls(ThreadState* ts, u64 fd) {
  char name[16] = {};
  u32 bytes = sizeof name;
  return device_call(ts, __NR_getsockopt, fd, SOL_TCP, TCP_ULP, ptr(name), ptr(&bytes)) == 0 &&
         name[0] == 't' && name[1] == 'l' && name[2] == 's' && name[3] == 0;
}

long receive(ThreadState* ts, u64 in, const Buffer& buffer, u64 bytes, u64 flags) {
  const long got =
      device_wait(ts, __NR_recvfrom, in, ptr(buffer.data), min(bytes, buffer.bytes), flags);
  return got == -EIO && has_tls(ts, in) ? -EINVAL : got;
}

// Into a pipe with bytes in it, whose room is not known exactly. Of a stream, only what has room
// for sure is taken.
long stream_to_pipe(ThreadState* ts, u64 in, u64 pipe, const Buffer& buffer, u64 count) {
  u64 done = 0;
  long last = 0;
  while (done < count) {
    struct pollfd p{static_cast<int>(pipe), POLLOUT, 0};
    if (done && raw(__NR_poll, ptr(&p), 1, 0) != 1) break;
    last = receive(ts, in, buffer, min(count - done, sure_room(pipe)), done ? MSG_DONTWAIT : 0);
    if (last <= 0) break;
    last = put(pipe, buffer.data, static_cast<u64>(last));
    if (last <= 0) break;
    done += static_cast<u64>(last);
    if (ts->deferred) break;
  }
  return outcome(done, last);
}

// Likewise of messages: what has no room is cut off, as from a buffer that is too small. The
// kernel finds out how much that is.
long message_to_pipe(ThreadState* ts, u64 in, u64 pipe, const Buffer& buffer, u64 count) {
  HostPipe whole;
  if (const long error = whole.open()) return error;
  whole.enlarge(capacity(pipe));
  const long got = receive(ts, in, buffer, min(count, whole.bytes()), 0);
  if (got <= 0) return got;
  raw(__NR_write, whole.in(), ptr(buffer.data), static_cast<u64>(got));
  long last;
  do {  // no signal may end this: the message is nowhere else
    last = raw(__NR_splice, whole.out(), 0, pipe, 0, static_cast<u64>(got), 0);
  } while (last == -EINTR);
  return last;
}

// -ENOTSOCK if it is none.
long socket_to_pipe(ThreadState* ts, u64 in, u64 pipe, u64 count) {
  const u64 most = min(count, capacity(pipe));
  const Buffer buffer = copy_buffer(ts, most);
  if (!buffer.data) return -ENOMEM;
  if (bytes_in_pipe(pipe) == 0) {
    const long got = receive(ts, in, buffer, most, 0);
    return got > 0 ? put(pipe, buffer.data, static_cast<u64>(got)) : got;
  }
  u32 type = 0, bytes = sizeof type;
  const long error =
      device_call(ts, __NR_getsockopt, in, SOL_SOCKET, SO_TYPE, ptr(&type), ptr(&bytes));
  if (error) return error;
  return type == SOCK_STREAM ? stream_to_pipe(ts, in, pipe, buffer, count)
                             : message_to_pipe(ts, in, pipe, buffer, count);
}

// Until the pipe has room. Who has to wait, or finds that nobody reads, is told first that the
// device's file cannot be read.
long await_room(ThreadState* ts, u64 in, const HostFile& pipe, u64 flags) {
  for (;;) {
    struct pollfd p{static_cast<int>(pipe.fd), POLLOUT, 0};
    raw(__NR_poll, ptr(&p), 1, 0);
    if (p.revents == POLLOUT) return 0;
    const long access = device_flags(ts, in);
    if (access < 0) return access;
    if (access & O_WRONLY) return -EBADF;
    if (p.revents & POLLERR) return -EPIPE;
    if ((flags & SPLICE_F_NONBLOCK) || (pipe.flags & O_NONBLOCK)) return -EAGAIN;
    if (const long waited = wait_for(ts, pipe.fd, POLLOUT); waited < 0) return waited;
  }
}

// The pipes and the buffer of a transfer from a file that is no socket.
struct Passage {
  HostPipe here;
  DevicePipe there;
  Buffer buffer;

  explicit Passage(ThreadState* ts) : there(ts) {}
  long open(ThreadState* ts, bool both) {
    long error = there.open();
    if (!error && both) error = here.open();
    if (error) return error;
    buffer = copy_buffer(ts, there.bytes());
    return buffer.data ? 0 : -ENOMEM;
  }
  u64 most() const { return min(there.bytes(), here.bytes()); }
  // What has arrived on the device, on to a pipe of the host.
  long pass(u64 bytes, u64 pipe) {
    const long got = there.read(buffer.data, bytes);
    return got > 0 ? put(pipe, buffer.data, static_cast<u64>(got)) : got;
  }
};

// From the host's pipe into a file: as much as that takes of it.
long move_out(ThreadState* ts, const HostPipe& pipe, u64 out, u64 off, u64 bytes, u64 flags) {
  u64 moved = 0;
  long last = 0;
  while (moved < bytes) {
    const u64 args[6] = {pipe.out(), 0, out, off, bytes - moved, flags};
    last = mino_interruptible(ts, __NR_splice, args);
    if (last <= 0) break;
    moved += static_cast<u64>(last);
  }
  return outcome(moved, last);
}

}  // namespace

long device_to_pipe(ThreadState* ts, long nr, u64 in, u64 off, const HostFile& pipe, u64 count,
                    u64 flags) {
  if (off && is_device_socket(ts, in)) return nr == __NR_splice ? -EINVAL : -ESPIPE;
  if (const long error = await_room(ts, in, pipe, flags)) return error;
  if (!off) {
    const long result = socket_to_pipe(ts, in, pipe.fd, count);
    if (result != -ENOTSOCK) return result;
  }
  Passage passage(ts);
  if (const long error = passage.open(ts, false)) return error;
  const u64 to = passage.there.in(), most = min(passage.there.bytes(), sure_room(pipe.fd));
  if (pipe.flags & O_NONBLOCK) flags |= SPLICE_F_NONBLOCK;
  const long got = nr == __NR_splice ? device_wait(ts, nr, in, off, to, 0, min(count, most), flags)
                                     : device_wait(ts, nr, to, in, off, min(count, most));
  return got > 0 ? passage.pass(static_cast<u64>(got), pipe.fd) : got;
}

long tee_from_device(ThreadState* ts, u64 in, const HostFile& pipe, u64 count, u64 flags) {
  Passage passage(ts);
  if (const long error = passage.open(ts, false)) return error;
  if (const long error = await_room(ts, in, pipe, flags)) return error;
  const u64 most = min(count, min(passage.there.bytes(), sure_room(pipe.fd)));
  const long got = device_wait(ts, __NR_tee, in, passage.there.in(), most, flags);
  return got > 0 ? passage.pass(static_cast<u64>(got), pipe.fd) : got;
}

long device_to_file(ThreadState* ts, u64 in, const HostFile& out, i64& pos, u64 count) {
  Passage passage(ts);
  if (const long error = passage.open(ts, true)) return error;
  u64 done = 0;
  long last = 0;
  while (done < count) {
    const i64 at = pos + static_cast<i64>(done);
    const u64 most = min(count - done, passage.most());
    const long got = device_wait(ts, __NR_sendfile, passage.there.in(), in, ptr(&at), most);
    last = got > 0 ? passage.pass(static_cast<u64>(got), passage.here.in()) : got;
    if (last <= 0) break;
    const u64 more = static_cast<u64>(got) == passage.most() ? SPLICE_F_MORE : 0;
    last = move_out(ts, passage.here, out.fd, 0, static_cast<u64>(got), more);
    if (last <= 0) break;
    done += static_cast<u64>(last);
    if (last < got || ts->deferred) break;
  }
  pos += static_cast<i64>(done);
  return outcome(done, last);
}

long device_pipe_to_file(ThreadState* ts, u64 in, const HostFile& out, u64 off, u64 count,
                         u64 flags) {
  Passage passage(ts);
  if (const long error = passage.open(ts, true)) return error;
  // What the host's kernel says before it looks for bytes.
  long last = raw(__NR_splice, passage.here.out(), 0, out.fd, off, count, SPLICE_F_NONBLOCK);
  if (last != -EAGAIN) return last;
  u64 done = 0;
  while (done < count) {
    const u64 most = min(count - done, passage.most());
    const u64 how = done ? SPLICE_F_NONBLOCK : flags & SPLICE_F_NONBLOCK;
    const long got = device_wait(ts, __NR_tee, in, passage.there.in(), most, how);
    last = got > 0 ? passage.pass(static_cast<u64>(got), passage.here.in()) : got;
    if (last <= 0) break;
    last = move_out(ts, passage.here, out.fd, off, static_cast<u64>(got), flags);
    if (last <= 0) break;
    device_call(ts, __NR_read, in, ptr(passage.buffer.data), static_cast<u64>(last));
    done += static_cast<u64>(last);
    if (last < got || ts->deferred) break;
  }
  return outcome(done, last);
}

}  // namespace mino::hook
