// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/bpf.h.
#include "hook/calls/bpf.h"

namespace mino::hook {

// The commands that make a descriptor; all are close-on-exec (Documentation/userspace-api/ebpf).
long do_bpf(ThreadState* ts, const abi::Row& row) {
  constexpr u64 kMakesFd =
      1ull << 0 | 1ull << 5 | 1ull << 7 |     // MAP_CREATE, PROG_LOAD, OBJ_GET
      1ull << 13 | 1ull << 14 | 1ull << 17 |  // …_GET_FD_BY_ID, RAW_TRACEPOINT_OPEN
      1ull << 18 | 1ull << 19 |               // BTF_LOAD, BTF_GET_FD_BY_ID
      1ull << 28 | 1ull << 30 |               // LINK_CREATE, LINK_GET_FD_BY_ID
      1ull << 32 | 1ull << 33 | 1ull << 36;   // ENABLE_STATS, ITER_CREATE, TOKEN_CREATE
  const u64 command = static_cast<u32>(ts->frame.rdi);
  if (command >= 64 || !(kMakesFd >> command & 1)) return offload_frame(ts, row);
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = ts->frame.arg(i);
  return offload_new_fd(ts, row, args, true);
}

}  // namespace mino::hook
