// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/ioctl.h.
#include "hook/calls/ioctl.h"

#include "hook/base/uapi.h"
#include "hook/calls/owner.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

bool within(u32 request, u32 first, u32 last) {
  return request >= first && request <= last;
}

// Requests about network interfaces are answered by any socket, and glibc's if_nametoindex asks an
// AF_UNIX one: the interfaces are the device's all the same (linux/sockios.h; net/socket.c,
// sock_do_ioctl). Those that are a family's own (addresses, ARP) stay with the family.
bool about_interfaces(u64 fd, u32 request) {
  const bool of_device = within(request, SIOCGIFNAME, SIOCPROTOPRIVATE - 1) ||
                         within(request, SIOCDEVPRIVATE, SIOCDEVPRIVATE + 15) ||
                         within(request, SIOCIWFIRST, SIOCIWLAST);
  const bool of_family = within(request, SIOCGIFADDR, SIOCSIFNETMASK) ||
                         within(request, SIOCSIFPFLAGS, SIOCDIFADDR) || request == SIOCOUTQNSD ||
                         request == SIOCGSKNS || within(request, SIOCDARP, SIOCSARP);
  if (!of_device || of_family || !(settings.families & (1u << AF_INET))) return false;
  u32 domain = 0, bytes = sizeof domain;
  return raw(__NR_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, ptr(&domain), ptr(&bytes)) == 0;
}

// By a socket of the device, for this one call.
long ask_device(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 args[6] = {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0};
  const long fd = offload_new_fd(ts, *abi::find_row(__NR_socket), args, true);
  if (fd < 0) return fd;
  const u64 ioctl[6] = {static_cast<u64>(fd), f.rsi, f.rdx};
  const long result = offload(ts, row, ioctl);
  close_on_device(ts, static_cast<u64>(fd));
  forget(ts, static_cast<u64>(fd));
  raw(__NR_close, static_cast<u64>(fd));
  return result;
}

}  // namespace

long do_ioctl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u8 flags = ts->process->flags(static_cast<u32>(f.rdi));
  if (flags & kPrivate) return -EBADF;
  const u32 request = static_cast<u32>(f.rsi);
  if (request == FIOCLEX || request == FIONCLEX) return kLocal;
  if (flags & kOffloaded)
    return is_owner_ioctl(request) ? owner_ioctl(ts, row) : offload_frame(ts, row);
  return flags == 0 && about_interfaces(f.rdi, request) ? ask_device(ts, row) : kLocal;
}

}  // namespace mino::hook
