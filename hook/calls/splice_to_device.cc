// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/splice_to_device.h. A socket is sent to. To any other file, the device's
// kernel splices from a pipe of its own.
#include "hook/calls/splice_to_device.h"

#include "hook/device/call.h"
#include "hook/state/interruptible.h"

namespace mino::hook {

namespace {

// The device's file. It is taken for a socket until it says otherwise.
class Sink {
 public:
  Sink(ThreadState* ts, u64 fd) : ts_(ts), fd_(fd), pipe_(ts) {}

  bool is_socket() const { return is_socket_; }
  u64 most() const { return is_socket_ ? ~0ull : pipe_.bytes(); }

  long no_socket() {
    is_socket_ = false;
    return pipe_.open();
  }

  // What the device's kernel says of a splice before it looks for bytes; 0 if nothing.
  long check(u64 off, u64 count) {
    const long result =
        device_wait(ts_, __NR_splice, pipe_.out(), 0, fd_, off, count, SPLICE_F_NONBLOCK);
    return result == -EAGAIN ? 0 : result;
  }

  long put(const u8* data, u64 bytes, u64 off, u64 flags) {
    if (is_socket_) {
      // Whether this blocks is up to the socket: SPLICE_F_NONBLOCK is about the pipe.
      const u64 more = flags & SPLICE_F_MORE ? MSG_MORE : 0;
      return device_wait(ts_, __NR_sendto, fd_, ptr(data), bytes, more);
    }
    const long wrote = pipe_.write(data, bytes);
    if (wrote <= 0) return wrote;
    return device_wait(ts_, __NR_splice, pipe_.out(), 0, fd_, off, static_cast<u64>(wrote), flags);
  }

 private:
  ThreadState* ts_;
  u64 fd_;
  DevicePipe pipe_;
  bool is_socket_ = true;
};

long tee_now(u64 from, const HostPipe& to, u64 bytes) {
  return raw(__NR_tee, from, to.in(), bytes, SPLICE_F_NONBLOCK);
}

// A file that the hook can read by itself, to a socket. -ENOTSOCK if that is none.
long regular_to_socket(ThreadState* ts, const HostFile& in, u64 out, i64& pos, u64 count) {
  const Buffer buffer = copy_buffer(ts, 1);
  if (!buffer.data) return -ENOMEM;
  const u64 start = static_cast<u64>(pos);
  Sink sink(ts, out);
  u64 done = 0;
  long last = 0;
  while (done < count) {
    last =
        raw(__NR_pread64, in.fd, ptr(buffer.data), min(count - done, buffer.bytes), start + done);
    if (last <= 0) break;
    const u64 got = static_cast<u64>(last), end = done + got;
    const bool more = end < count && start + end < in.size;
    last = sink.put(buffer.data, got, 0, more ? SPLICE_F_MORE : 0);
    if (last <= 0) break;
    done += static_cast<u64>(last);
    if (static_cast<u64>(last) < got || ts->deferred) break;
  }
  pos += static_cast<i64>(done);
  return outcome(done, last);
}

// The next bytes of a file, into the empty pipe. What cannot be read twice is read by the page,
// which any pipe takes whole or not at all.
// `at` moves as the file says: that of a device may stay.
long fill(ThreadState* ts, const HostFile& in, bool seekable, u64& at, const HostPipe& pipe,
          u64 most) {
  if (most == 0) return 0;
  const u64 args[6] = {
      in.fd, seekable ? ptr(&at) : 0, pipe.in(), 0, min(most, seekable ? pipe.bytes() : 4096), 0};
  return mino_interruptible(ts, __NR_splice, args);
}

}  // namespace

long pipe_to_device(ThreadState* ts, const HostFile& pipe, u64 out, u64 off, u64 count, u64 flags) {
  Sink sink(ts, out);
  HostPipe copy;
  if (const long error = copy.open()) return error;
  const Buffer buffer = copy_buffer(ts, copy.bytes());
  if (!buffer.data) return -ENOMEM;
  if (pipe.flags & O_NONBLOCK) flags |= SPLICE_F_NONBLOCK;
  u64 done = 0;
  long last = 0;
  // Before the first wait, and for a file that is no socket, the device checks first.
  bool checked = false;
  const auto check = [&](bool is_socket) -> long {
    checked = true;
    if (is_socket) return off ? -EINVAL : 0;
    const long error = sink.no_socket();
    return error ? error : sink.check(off, count);
  };
  if (off && (last = check(is_device_socket(ts, out)))) return last;
  while (done < count) {
    const long got = tee_now(pipe.fd, copy, min(count - done, min(copy.bytes(), sink.most())));
    if (got <= 0 && !checked) {
      if ((last = check(is_device_socket(ts, out)))) return last;
      continue;
    }
    if (got == -EAGAIN && done == 0 && !(flags & SPLICE_F_NONBLOCK)) {
      last = wait_for(ts, pipe.fd, POLLIN);
      if (last < 0) break;
      continue;
    }
    last = got;
    if (got <= 0) break;
    const u64 bytes = static_cast<u64>(got);
    raw(__NR_read, copy.out(), ptr(buffer.data), bytes);
    const bool more = bytes < count - done && bytes_in_pipe(pipe.fd) > bytes;
    last = sink.put(buffer.data, bytes, off, more ? flags | SPLICE_F_MORE : flags);
    if (last == -ENOTSOCK && !checked) {
      if ((last = check(false))) return last;
      continue;
    }
    if (last > 0) {
      raw(__NR_read, pipe.fd, ptr(buffer.data), static_cast<u64>(last));  // consumed now
      done += static_cast<u64>(last);
    }
    if (last < got || ts->deferred) break;
  }
  return outcome(done, last);
}

long tee_to_device(ThreadState* ts, const HostFile& pipe, u64 out, u64 count, u64 flags) {
  Sink sink(ts, out);
  HostPipe copy;
  long last = copy.open();
  if (last || (last = sink.no_socket())) return last;
  const Buffer buffer = copy_buffer(ts, copy.bytes());
  if (!buffer.data) return -ENOMEM;
  for (;;) {
    last = tee_now(pipe.fd, copy, min(count, min(copy.bytes(), sink.most())));
    if (last != -EAGAIN || (flags & SPLICE_F_NONBLOCK)) break;
    if ((last = wait_for(ts, pipe.fd, POLLIN)) < 0) break;
  }
  if (last <= 0) return last;
  raw(__NR_read, copy.out(), ptr(buffer.data), static_cast<u64>(last));
  return sink.put(buffer.data, static_cast<u64>(last), 0, flags);
}

long file_to_device(ThreadState* ts, const HostFile& in, bool seekable, u64 out, i64& pos,
                    u64 count, u64 flags) {
  if (seekable && (in.mode & S_IFMT) == S_IFREG && in.size > 0) {
    const long result = regular_to_socket(ts, in, out, pos, count);
    if (result != -ENOTSOCK) return result;
  }
  Sink sink(ts, out);
  HostPipe next;
  long last = next.open();
  if (!last && !is_device_socket(ts, out)) last = sink.no_socket();
  if (last) return last;
  const Buffer buffer = copy_buffer(ts, next.bytes());
  if (!buffer.data) return -ENOMEM;
  u64 done = 0, end = static_cast<u64>(pos);
  const auto read_on = [&](u64 from) {
    return fill(ts, in, seekable, end, next, min(count - from, sink.most()));
  };
  last = read_on(0);
  while (last > 0) {
    const u64 bytes = static_cast<u64>(last), after = end;
    raw(__NR_read, next.out(), ptr(buffer.data), bytes);
    // One step ahead, because the last piece must not wait for more in the socket.
    const long ahead = seekable ? read_on(done + bytes) : 0;
    last = sink.put(buffer.data, bytes, 0, ahead > 0 ? flags | SPLICE_F_MORE : flags);
    if (last <= 0) break;
    done += static_cast<u64>(last);
    const bool all = static_cast<u64>(last) == bytes;
    pos = all ? static_cast<i64>(after) : pos + last;
    if (!all || ts->deferred) break;
    last = ahead;
  }
  return outcome(done, last);
}

}  // namespace mino::hook
