// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a host file that go to a device file, for hook/calls/splice.cc, which has made the
// checks that come before. Nothing is lost when the receiver takes less than was read: files are
// read by offset, and pipes with tee before they are consumed.
#pragma once

#include "hook/calls/splice_pipes.h"

namespace mino::hook {

// splice from a pipe. `flags` are splice's; `off` is a pointer of the program's, for `out`.
long pipe_to_device(ThreadState* ts, const HostFile& pipe, u64 out, u64 off, u64 count, u64 flags);

// tee from a pipe, to a pipe.
long tee_to_device(ThreadState* ts, const HostFile& pipe, u64 out, u64 count, u64 flags);

// sendfile, and splice from a file to a pipe. Begins at `pos`, or, without `seekable`, wherever the
// file is. `pos` ends where the transfer has ended; the file's own position stays as it is.
long file_to_device(ThreadState* ts, const HostFile& in, bool seekable, u64 out, i64& pos,
                    u64 count, u64 flags);

}  // namespace mino::hook
