// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/messages.h. A parcel is a sealed memfd, made by the device, that says under which
// id the device keeps the file. The receiver's hook imports the file in its place. A receiver
// without mino gets the memfd.
#include "hook/calls/messages.h"

#include "abi/parcel.h"
#include "hook/base/msghdr.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/dead_files.h"
#include "hook/calls/epoll.h"
#include "hook/calls/handler.h"
#include "hook/calls/netlink.h"
#include "hook/calls/parcels.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/export.h"
#include "hook/state/interruptible.h"

namespace mino::hook {

namespace {

constexpr u64 kMaxControl = 8192;

// Calls `each(offset)` for every descriptor in a control buffer.
template <class Each>
void each_descriptor(const u8* control, u64 bytes, Each each) {
  u64 at = 0;
  while (at + sizeof(CmsgHdr) <= bytes) {
    CmsgHdr header;
    copy(&header, control + at, sizeof header);
    if (header.len < sizeof header || header.len > bytes - at) return;
    if (header.level == SOL_SOCKET && header.type == SCM_RIGHTS) {
      for (u64 k = sizeof header; k + 4 <= header.len; k += 4) each(at + k);
    }
    at += (header.len + 7) & ~7ull;
  }
}

int get_fd(const u8* control, u64 at) {
  int fd;
  copy(&fd, control + at, 4);
  return fd;
}

}  // namespace

namespace {

// The control data of one outgoing message, with parcels in place of offloaded files.
struct Outgoing {
  u8 control[kMaxControl];
  int parcels[256];
  u64 ids[256];
  int count = 0;

  // The receiver may already have closed it. Whoever closes a parcel last tells the device to
  // check.
  void close(ThreadState* ts) {
    for (int i = 0; i < count; i++) raw(__NR_close, static_cast<u64>(parcels[i]));
    for (int i = 0; i < count; i++) offload_op(ts, abi::Op::kSettle, ids[i], 0, -1);
  }
};

// 0 or the error. Nothing is changed if out.count stays 0.
long pack(ThreadState* ts, const MsgHdr& header, Outgoing& out) {
  if (header.control == 0 || header.controllen < sizeof(CmsgHdr) || header.controllen > kMaxControl)
    return 0;
  if (!user_read(header.control, out.control, header.controllen)) return 0;
  long error = 0;
  each_descriptor(out.control, header.controllen, [&](u64 at) {
    const int fd = get_fd(out.control, at);
    if (fd >= 0 && (ts->process->flags(static_cast<u32>(fd)) & kEpoll))
      send_epoll_set(ts, static_cast<u32>(fd));
    if (fd < 0 || !ts->process->offloaded(static_cast<u32>(fd)) || error || out.count == 256)
      return;
    if (device_is_dead(ts)) return;  // then a dead file travels
    const long parcel = fetch_parcel(ts, static_cast<u64>(fd), out.ids[out.count]);
    if (is_error(parcel)) {
      error = parcel;
      return;
    }
    out.parcels[out.count++] = static_cast<int>(parcel);
    const int replacement = static_cast<int>(parcel);
    copy(out.control + at, &replacement, 4);
  });
  return error;
}

long send_local(ThreadState* ts, const u64 args[6], u64 message) {
  MsgHdr header;
  if (!user_read(message, &header, sizeof header)) return kLocal;
  Outgoing out;
  long result = pack(ts, header, out);
  if (result == 0 && out.count == 0) return kLocal;
  header.control = ptr(out.control);
  const u64 changed[6] = {args[0], ptr(&header), args[2]};
  if (result == 0) result = mino_interruptible(ts, __NR_sendmsg, changed);
  out.close(ts);
  return result;
}

// sendmmsg on a local socket. If any message passes an offloaded file, they are sent one by one.
long send_local_vector(ThreadState* ts, const u64 args[6]) {
  const u64 count = min(static_cast<u32>(args[2]), abi::kMaxIov);
  bool any = false;
  for (u64 i = 0; i < count && !any; i++) {
    MsgHdr header;
    if (!user_read(args[1] + i * 64, &header, sizeof header)) return kLocal;
    if (header.control == 0 || header.controllen > kMaxControl) continue;
    u8 control[kMaxControl];
    if (!user_read(header.control, control, header.controllen)) continue;
    each_descriptor(control, header.controllen, [&](u64 at) {
      const int fd = get_fd(control, at);
      any |= fd >= 0 && (ts->process->flags(static_cast<u32>(fd)) & (kOffloaded | kEpoll));
    });
  }
  if (!any) return kLocal;
  long sent = 0;
  for (u64 i = 0; i < count; i++) {
    const u64 one[6] = {args[0], args[1] + i * 64, args[3]};
    long result = send_local(ts, one, one[1]);
    if (result == kLocal) result = mino_interruptible(ts, __NR_sendmsg, one);
    if (result < 0) return sent ? sent : result;
    const u32 bytes = static_cast<u32>(result);
    if (!user_write(args[1] + i * 64 + 56, &bytes, 4)) return sent ? sent : -EFAULT;
    sent++;
  }
  return sent;
}

void import_parcels(ThreadState* ts, u64 message, bool peeked) {
  MsgHdr header;
  u8 control[kMaxControl];
  if (!user_read(message, &header, sizeof header) || header.controllen < sizeof(CmsgHdr)) return;
  const u64 bytes = min(header.controllen, kMaxControl);
  if (!user_read(header.control, control, bytes)) return;
  each_descriptor(control, bytes, [&](u64 at) {
    const int fd = get_fd(control, at);
    if (fd >= 0) import_if_parcel(ts, static_cast<u64>(fd), peeked);
  });
}

}  // namespace

long do_message(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  if (const u8 flags = ts->process->flags(static_cast<u32>(f.rdi)); flags & kOffloaded)
    return flags & kMaybeNetlink ? do_netlink(ts, row) : offload_frame(ts, row);
  const u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  // Without a flagged descriptor there is nothing to pack.
  const bool any_flagged = ts->process->table()->fd_limit != 0;
  if (row.nr == __NR_sendmsg) return any_flagged ? send_local(ts, args, f.rsi) : kLocal;
  if (row.nr == __NR_sendmmsg) return any_flagged ? send_local_vector(ts, args) : kLocal;
  // Receiving. Only messages with room for descriptors matter.
  MsgHdr header;
  if (!user_read(f.rsi, &header, sizeof header)) return kLocal;
  if (row.nr == __NR_recvmsg && (header.control == 0 || header.controllen < sizeof(CmsgHdr) + 4))
    return kLocal;
  const long result = mino_interruptible(ts, row.nr, args);
  if (result < 0) return result;
  const u64 flags = row.nr == __NR_recvmmsg ? f.r10 : f.rdx;
  const u64 messages = row.nr == __NR_recvmmsg ? static_cast<u64>(result) : 1;
  for (u64 i = 0; i < messages; i++) import_parcels(ts, f.rsi + i * 64, flags & MSG_PEEK);
  return result;
}

}  // namespace mino::hook
