// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/parcels.h.
#include "hook/calls/parcels.h"

#include "abi/parcel.h"
#include "hook/base/uapi.h"
#include "hook/calls/epoll.h"
#include "hook/calls/epoll_tags.h"
#include "hook/calls/handler.h"
#include "hook/device/attach.h"
#include "hook/device/bell.h"
#include "hook/device/call.h"

namespace mino::hook {

bool is_parcel(u64 fd, u64& id) {
  if (raw(__NR_fcntl, fd, F_GET_SEALS) != kAllSeals) return false;
  abi::Parcel parcel;
  if (raw(__NR_pread64, fd, ptr(&parcel), sizeof parcel, 0) != sizeof parcel) return false;
  for (u64 i = 0; i < abi::kParcelTextBytes; i++) {
    if (parcel.text[i] != abi::kParcelText[i]) return false;
  }
  id = 0;
  for (int i = 0; i < 16; i++) {
    const char c = parcel.id[i];
    id = id << 4 | static_cast<u64>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

long import_parcel(ThreadState* ts, u64 fd, u64 id) {
  const long result = offload_op(ts, abi::Op::kImport, id, 0, static_cast<int>(fd));
  if (result < 0) return result;
  const long cloexec = raw(__NR_fcntl, fd, F_GETFD);
  raw(__NR_dup3, static_cast<u64>(ts->process->session().placeholder), fd,
      cloexec == FD_CLOEXEC ? O_CLOEXEC : 0);
  ts->process->set_flags(fd, kOffloaded | kMaybeNetlink);
  note_socket_timeouts();  // the file may have some
  return 0;
}

void import_if_parcel(ThreadState* ts, u64 fd, bool peeked) {
  u64 id;
  drop_stale_fd(ts, fd);
  if (is_epoll_file(fd)) return adopt_epoll_set(ts, fd);
  if (!is_parcel(fd, id) || ready(ts) != 0 || import_parcel(ts, fd, id) != 0) return;
  if (!peeked) offload_op(ts, abi::Op::kSettle, id, 0, -1);
}

}  // namespace mino::hook
