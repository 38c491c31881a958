// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a device file that go to a host file, for hook/calls/splice.cc, which has made the
// checks that come before. Nothing is lost when the receiver takes less than was read: from what
// cannot be read twice, only as much is taken as has room in the receiving pipe.
#pragma once

#include "hook/calls/splice_pipes.h"

namespace mino::hook {

// splice to a pipe (`nr` is __NR_splice) and sendfile to one (__NR_sendfile). `off` is a pointer of
// the program's, for `in`; `flags` are splice's.
long device_to_pipe(ThreadState* ts, long nr, u64 in, u64 off, const HostFile& pipe, u64 count,
                    u64 flags);

// tee from a pipe, to a pipe.
long tee_from_device(ThreadState* ts, u64 in, const HostFile& pipe, u64 count, u64 flags);

// sendfile to what is no pipe. `pos` ends where the transfer has ended; the file's own position
// stays as it is.
long device_to_file(ThreadState* ts, u64 in, const HostFile& out, i64& pos, u64 count);

// splice from a pipe of the device to what is no pipe. `off` is a pointer of the program's.
long device_pipe_to_file(ThreadState* ts, u64 in, const HostFile& out, u64 off, u64 count,
                         u64 flags);

}  // namespace mino::hook
