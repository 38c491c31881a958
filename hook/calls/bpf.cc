// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/bpf.h. Used by hook/dispatch.cc. A command that makes a descriptor must not be
// sent before its number is taken on the host; all others are sent as they are.
#include "hook/calls/bpf.h"

#include "hook/base/uapi.h"

namespace mino::hook {

// Descriptors made by bpf(2) are always close-on-exec (Documentation/userspace-api/ebpf).
long do_bpf(ThreadState* ts, const abi::Row& row) {
  constexpr u64 kMakesFd = 1ull << BPF_MAP_CREATE | 1ull << BPF_PROG_LOAD | 1ull << BPF_OBJ_GET |
                           1ull << BPF_PROG_GET_FD_BY_ID | 1ull << BPF_MAP_GET_FD_BY_ID |
                           1ull << BPF_RAW_TRACEPOINT_OPEN | 1ull << BPF_BTF_LOAD |
                           1ull << BPF_BTF_GET_FD_BY_ID | 1ull << BPF_LINK_CREATE |
                           1ull << BPF_LINK_GET_FD_BY_ID | 1ull << BPF_ENABLE_STATS |
                           1ull << BPF_ITER_CREATE | 1ull << BPF_TOKEN_CREATE;
  const u64 command = static_cast<u32>(ts->frame.rdi);
  if (command >= 64 || !(kMakesFd >> command & 1)) return offload_frame(ts, row);
  u64 args[6];
  for (int i = 0; i < 6; i++) args[i] = ts->frame.arg(i);
  return offload_new_fd(ts, row, args, true);
}

}  // namespace mino::hook
