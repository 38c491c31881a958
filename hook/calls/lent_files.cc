// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/lent_files.h. The file goes to minod, which keeps it as it keeps files that are
// passed (daemon/exchange.h), and the proxy imports it from there.
#include "hook/calls/lent_files.h"

#include "hook/base/limits.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/handler.h"
#include "hook/calls/namespaces.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/message.h"
#include "hook/state/filters.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// As minod judges it (daemon/admission.cc).
bool may_be_lent(u64 number) {
  struct statfs info;
  if (raw(__NR_fstatfs, number, ptr(&info)) == 0 && info.f_type == NSFS_MAGIC) return true;
  char link[40], name[64]{};
  *print_number(print(link, "/proc/self/fd/"), number) = 0;
  return raw(__NR_readlink, ptr(link), ptr(name), sizeof name - 1) > 0 &&
         starts_with(name, "anon_inode:bpf");
}

// Gives minod the file. Returns the parcel that stands for it, and its id, or an error.
long give_to_minod(const ThreadState* ts, u64 number, u64& id) {
  if (ts->filters && !(filters_allow_own(ts, __NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC) &&
                       filters_allow_own(ts, __NR_connect)))
    return -EPERM;
  sockaddr_un address{AF_UNIX, {}};
  copy(address.sun_path, settings.socket_path, sizeof address.sun_path);
  const LiftedLimits more(LiftedLimits::kNumbers);
  const long fd = raw(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (is_error(fd)) return fd;
  Session to_minod{};
  to_minod.socket = static_cast<int>(fd);
  set_receive_timeout(to_minod.socket, 5);
  abi::Message message;
  message.type = abi::MessageType::kExport;
  int parcel = -1;
  const bool good = raw(__NR_connect, static_cast<u64>(fd), ptr(&address), sizeof address) == 0 &&
                    send_message(to_minod, message, static_cast<int>(number)) &&
                    receive_message(to_minod.socket, message, &parcel, 1);
  raw(__NR_close, static_cast<u64>(fd));
  id = message.session_id;
  return good ? parcel : -EBADF;
}

}  // namespace

bool Lending::give(u64 number) {
  u64 id;
  const long parcel = may_be_lent(number) ? give_to_minod(ts_, number, id) : -EINVAL;
  if (is_error(parcel)) return false;
  files_[count_++] = {number, id, parcel};
  offload_op(ts_, abi::Op::kImport, id, 0, static_cast<int>(number));
  return true;
}

void Lending::lend(u64 number, u64 other) {
  if (number >= abi::kMaxFd || ts_->process->flags(number) || count_ == kMost ||
      is_error(raw(__NR_fcntl, number, F_GETFD)) || ready(ts_) != 0)
    return;
  const int there = static_cast<int>(number);
  long made;
  if (is_own_network_on_host(number)) {
    // What was the program's network namespace on the host is the one that the device began with.
    const char* const path = settings.netns ? "/proc/1/ns/net" : "/proc/thread-self/ns/net";
    const u64 args[6] = {ptr(path), O_RDONLY | O_CLOEXEC, 0};
    made = offload(ts_, *abi::find_row(__NR_open), args, there, 0, kNoCancel);
  } else if (!settings.netns && give(number)) {
    return;
  } else {
    const u64 args[6] = {other, number, 0};
    made = offload(ts_, *abi::find_row(__NR_dup3), args, there, 0, kNoCancel);
  }
  if (made >= 0) files_[count_++] = {number, 0, -1};
}

Lending::~Lending() {
  for (u32 i = 0; i < count_; i++) {
    close_on_device(ts_, files_[i].number);
    if (files_[i].parcel < 0) continue;
    raw(__NR_close, static_cast<u64>(files_[i].parcel));
    offload_op(ts_, abi::Op::kSettle, files_[i].id, 0, -1);
  }
}

}  // namespace mino::hook
