// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/socket_options.h.
#include "hook/calls/socket_options.h"

#include "abi/new_file.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"

namespace mino::hook {

long do_getsockopt(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8};
  if (!abi::peels_off(row, args)) return offload_frame(ts, row);
  u32 bytes = 0, flags = 0;
  user_read(f.r8, &bytes, sizeof bytes);
  if (bytes >= abi::kPeelingFlagsAt + sizeof flags)
    user_read(f.r10 + abi::kPeelingFlagsAt, &flags, sizeof flags);
  return offload_new_fd(ts, row, args, flags & SOCK_CLOEXEC);
}

}  // namespace mino::hook
