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

constexpr u64 kOCloexec = 0x80000;

// Requests about network interfaces are answered by any socket, and glibc's if_nametoindex asks an
// AF_UNIX one: the interfaces are the device's all the same (linux/sockios.h; net/socket.c,
// sock_do_ioctl). Those that are a family's own (addresses, ARP) stay with the family.
bool about_interfaces(u64 fd, u32 request) {
  constexpr u32 kInet = 2, kGetsockopt = 55, kSolSocket = 1, kSoDomain = 39;
  const bool of_device = (request >= 0x8910 && request < 0x89e0) ||
                         (request >= 0x89f0 && request <= 0x89ff) ||
                         (request >= 0x8b00 && request <= 0x8bff);
  const bool of_family = (request >= 0x8915 && request <= 0x891c) ||
                         (request >= 0x8934 && request <= 0x8936) || request == 0x894b ||
                         request == 0x894c || (request >= 0x8953 && request <= 0x8955);
  if (!of_device || of_family || !(settings.families & (1u << kInet))) return false;
  u32 domain = 0, bytes = sizeof domain;
  return raw(kGetsockopt, fd, kSolSocket, kSoDomain, ptr(&domain), ptr(&bytes)) == 0;
}

// By a socket of the device, for this one call.
long ask_device(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kInet = 2, kDatagram = 2;
  const u64 args[6] = {kInet, kDatagram | kOCloexec, 0};
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
  constexpr u32 kFioclex = 0x5451, kFionclex = 0x5450;
  const u32 request = static_cast<u32>(f.rsi);
  if (request == kFioclex || request == kFionclex) return kLocal;
  if (flags & kOffloaded)
    return is_owner_ioctl(request) ? owner_ioctl(ts, row) : offload_frame(ts, row);
  return flags == 0 && about_interfaces(f.rdi, request) ? ask_device(ts, row) : kLocal;
}

}  // namespace mino::hook
