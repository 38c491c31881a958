// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/ioctl.h.
#include "hook/calls/ioctl.h"

#include "abi/new_file.h"
#include "hook/base/uapi.h"
#include "hook/calls/owner.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

bool within(u32 request, u32 first, u32 last) {
  return request >= first && request <= last;
}

// Any socket answers requests about network interfaces, and glibc's if_nametoindex uses an AF_UNIX
// socket. The interfaces that the program means are those of the device (linux/sockios.h;
// net/socket.c, sock_do_ioctl). Requests that belong to a family (addresses, ARP) stay with the
// socket's family.
bool about_interfaces(u64 fd, u32 request) {
  const bool of_interfaces = within(request, SIOCGIFNAME, SIOCPROTOPRIVATE - 1) ||
                             within(request, SIOCDEVPRIVATE, SIOCDEVPRIVATE + 15) ||
                             within(request, SIOCIWFIRST, SIOCIWLAST);
  const bool of_family = within(request, SIOCGIFADDR, SIOCSIFNETMASK) ||
                         within(request, SIOCSIFPFLAGS, SIOCDIFADDR) || request == SIOCOUTQNSD ||
                         request == SIOCGSKNS || within(request, SIOCDARP, SIOCSARP);
  if (!of_interfaces || of_family || !(settings.families & (1u << AF_INET))) return false;
  u32 domain = 0, bytes = sizeof domain;
  return raw(__NR_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, ptr(&domain), ptr(&bytes)) == 0;
}

// Whether the file that a request makes is closed on exec: only that of TIOCGPTPEER has a choice,
// which is in its flags.
bool makes_cloexec(const Frame& f) {
  return static_cast<u32>(f.rsi) != TIOCGPTPEER || (f.rdx & O_CLOEXEC);
}

// Makes the request on a new socket on the device, for this one call.
long ask_device(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u64 args[6] = {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0};
  const long fd = offload_new_fd(ts, *abi::find_row(__NR_socket), args, true);
  if (fd < 0) return fd;
  const u64 ioctl[6] = {static_cast<u64>(fd), f.rsi, f.rdx};
  const long result = offload(ts, row, ioctl);
  close_everywhere(ts, static_cast<u64>(fd));
  return result;
}

}  // namespace

long do_ioctl(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  const u8 flags = ts->process->flags(static_cast<u32>(f.rdi));
  if (flags & kPrivate) return -EBADF;
  const u32 request = static_cast<u32>(f.rsi);
  if (request == FIOCLEX || request == FIONCLEX) return kLocal;
  if (flags & kOffloaded) {
    const u64 args[6] = {f.rdi, f.rsi, f.rdx};
    if (abi::makes_file(row, args)) return offload_new_fd(ts, row, args, makes_cloexec(f));
    return is_owner_ioctl(request) ? owner_ioctl(ts, row) : offload_frame(ts, row);
  }
  return flags == 0 && about_interfaces(f.rdi, request) ? ask_device(ts, row) : kLocal;
}

}  // namespace mino::hook
