// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/netlink.h. A socket without an address gets one from the kernel when it is first
// used: the id of its process, or a negative number if that is taken (netlink_autobind in
// net/netlink/af_netlink.c). On the device that would be the id of whoever serves the program. So
// the hook gives it the number that the host kernel would have given.
#include "hook/calls/netlink.h"

#include <linux/genetlink.h>

#include "hook/base/msghdr.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/calls/lent_files.h"
#include "hook/calls/namespaces.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/netlink_numbers.h"

namespace mino::hook {

namespace {

constexpr u32 kMaxNumbers = 16;     // in one call
constexpr u64 kMaxBytes = 1 << 20;  // more than a socket takes at once, if nobody has raised that
constexpr u64 kMaxControl = 256;

u32 own_pid() {
  return static_cast<u32>(raw(__NR_getpid));
}

enum class State { kOther, kUnbound, kBound };

// What the file is. Asks the device until the answer cannot change any more.
State state_of(ThreadState* ts, u64 fd, sockaddr_nl& own) {
  if (ts->process->flags(fd) & kBoundNetlink) return State::kBound;
  if (ready(ts) != 0) return State::kOther;
  u32 bytes = sizeof own;
  own = {};
  const long result = device_call(ts, __NR_getsockname, fd, ptr(&own), ptr(&bytes));
  if (result != 0 || own.nl_family != AF_NETLINK) {
    if (result == 0 || result == -ENOTSOCK) ts->process->set_flags(fd, kOffloaded);
    return State::kOther;
  }
  if (own.nl_pid == 0) return State::kUnbound;
  ts->process->add_flags(static_cast<u32>(fd), kBoundNetlink);
  return State::kBound;
}

long bind_as_process(ThreadState* ts, u64 fd, sockaddr_nl address) {
  constexpr int kTries = 64;
  constexpr u32 kFirst = 1u << 31, kNumbers = kFirst - 4096;  // the negative ones below -4096
  address.nl_pid = own_pid();
  long result = -EADDRINUSE;
  for (int i = 0; i < kTries && result == -EADDRINUSE; i++) {
    result = device_call(ts, __NR_bind, fd, ptr(&address), sizeof address);
    u32 random = 0;
    if (result == -EADDRINUSE) raw(__NR_getrandom, ptr(&random), sizeof random, 0);
    address.nl_pid = kFirst + random % kNumbers;
  }
  if (result == 0) ts->process->add_flags(static_cast<u32>(fd), kBoundNetlink);
  return result;
}

// The address in a call of bind or connect, if it is one that gives the socket its own.
bool read_address(const Frame& f, sockaddr_nl& address) {
  constexpr u64 kMaxAddress = 128;
  return f.rdx >= sizeof address && f.rdx <= kMaxAddress &&
         user_read(f.rsi, &address, sizeof address) && address.nl_family == AF_NETLINK;
}

long do_bind(ThreadState* ts, const abi::Row& row) {
  sockaddr_nl own, address;
  const u64 fd = static_cast<u32>(ts->frame.rdi);
  if (!read_address(ts->frame, address) || address.nl_pid != 0 ||
      state_of(ts, fd, own) != State::kUnbound)
    return offload_frame(ts, row);
  return bind_as_process(ts, fd, address);
}

long do_connect(ThreadState* ts, const abi::Row& row) {
  sockaddr_nl own, address;
  const u64 fd = static_cast<u32>(ts->frame.rdi);
  if (read_address(ts->frame, address) && state_of(ts, fd, own) == State::kUnbound)
    bind_as_process(ts, fd, own);
  return offload_frame(ts, row);
}

// One message of the program: what is read of it, and what is sent in its place.
struct Outgoing {
  ~Outgoing() {
    if (bytes && bytes != small) unmap_pages(bytes, kMaxBytes);
  }

  u8* bytes = nullptr;
  u32 count = 0;
  bool changed = false;   // `bytes` must be sent
  u64 control_bytes = 0;  // if not 0, `control` must be sent
  NetlinkNumber numbers[kMaxNumbers];
  u32 number_count = 0;
  u8 small[2048];
  alignas(8) u8 control[kMaxControl];
};

// Finds the numbers in the message. It stays as it is if it is empty, cannot be read or is too
// long.
void gather(const iovec* parts, u64 from, u64 count, Outgoing& out) {
  u64 total = 0;
  iovec part;
  const auto get = [&](u64 i) {
    if (parts) part = parts[i];
    return parts || user_read(from + i * sizeof part, &part, sizeof part);
  };
  if (count > abi::kMaxIov) return;
  for (u64 i = 0; i < count; i++) {
    if (!get(i) || part.iov_len > kMaxBytes || (total += part.iov_len) > kMaxBytes) return;
  }
  if (total < sizeof(nlmsghdr)) return;
  out.bytes = total <= sizeof out.small ? out.small : static_cast<u8*>(map_pages(kMaxBytes));
  if (!out.bytes) return;
  for (u64 i = 0; i < count; i++) {
    if (!get(i) || part.iov_len > total - out.count ||
        !user_read(ptr(part.iov_base), out.bytes + out.count, part.iov_len))
      return;
    out.count += static_cast<u32>(part.iov_len);
  }
  out.number_count = find_netlink_numbers(out.bytes, out.count, out.numbers, kMaxNumbers);
}

// Whether messages of this type belong to this family of NETLINK_GENERIC on the device.
bool is_family(ThreadState* ts, u16 type, const char* name) {
  struct {
    nlmsghdr header;
    genlmsghdr generic;
    nlattr attribute;
    char name[GENL_NAMSIZ];
  } question{};
  question.header = {sizeof question, GENL_ID_CTRL, NLM_F_REQUEST, 1, 0};
  question.generic = {CTRL_CMD_GETFAMILY, 1, 0};
  question.attribute = {sizeof(nlattr) + GENL_NAMSIZ, CTRL_ATTR_FAMILY_NAME};
  print(question.name, name);
  const u64 socket[6] = {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC};
  const long made = offload_new_fd(ts, *abi::find_row(__NR_socket), socket, true);
  if (made < 0) return false;
  const u64 fd = static_cast<u64>(made);
  alignas(4) u8 answer[2048];
  device_call(ts, __NR_sendto, fd, ptr(&question), sizeof question, MSG_DONTWAIT);
  const long got = device_call(ts, __NR_recvfrom, fd, ptr(answer), sizeof answer, MSG_DONTWAIT);
  close_everywhere(ts, fd);
  nlattr attribute;
  for (u64 at = NLMSG_HDRLEN + GENL_HDRLEN; got > 0 && at + 6 <= static_cast<u64>(got);
       at += (attribute.nla_len + 3u) & ~3u) {
    copy(&attribute, answer + at, sizeof attribute);
    if (attribute.nla_len < sizeof attribute) return false;
    u16 id;
    copy(&id, answer + at + sizeof attribute, sizeof id);
    if (attribute.nla_type == CTRL_ATTR_FAMILY_ID) return id == type;
  }
  return false;
}

// Makes the numbers mean on the device what they mean here.
void translate(ThreadState* ts, u64 fd, Outgoing& out, Lending& lending) {
  if (out.number_count == 0) return;
  u32 protocol = 0, bytes = sizeof protocol;
  device_call(ts, __NR_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, ptr(&protocol), ptr(&bytes));
  for (u32 i = 0; i < out.number_count; i++) {
    const NetlinkNumber& number = out.numbers[i];
    u32 value;
    copy(&value, out.bytes + number.at, sizeof value);
    if (number.protocol != protocol) continue;
    if (number.of == NumberOf::kFile) {
      lending.lend(value, fd);
    } else if (!number.family || is_family(ts, number.type, number.family)) {
      const u32 there = process_with_network(ts, value);
      copy(out.bytes + number.at, &there, sizeof there);
      out.changed |= there != value;
    }
  }
}

// Who sends, if the program says so itself: the kernel compares it with the sending process.
void translate_sender(ThreadState* ts, const MsgHdr& header, Outgoing& out) {
  struct Sender {
    u32 pid, uid, gid;
  };
  if (!header.control || header.controllen > kMaxControl ||
      header.controllen < sizeof(CmsgHdr) + sizeof(Sender) ||
      !user_read(header.control, out.control, header.controllen))
    return;
  u64 at = 0;
  for (CmsgHdr part; header.controllen - at >= sizeof part; at += (part.len + 7) & ~7ull) {
    copy(&part, out.control + at, sizeof part);
    if (part.len < sizeof part || part.len > header.controllen - at) return;
    u32 pid;
    copy(&pid, out.control + at + sizeof part, sizeof pid);
    if (part.level == SOL_SOCKET && part.type == SCM_CREDENTIALS &&
        part.len >= sizeof part + sizeof(Sender) && pid == own_pid()) {
      const long there = offload_op(ts, abi::Op::kStandIn, pid, abi::kAsSender, -1);
      if (there <= 0) return;
      pid = static_cast<u32>(there);
      copy(out.control + at + sizeof part, &pid, sizeof pid);
      out.control_bytes = header.controllen;
    }
    if (((part.len + 7) & ~7ull) > header.controllen - at) return;
  }
}

// sendmsg of one message, whose header is at `message`.
long send_one(ThreadState* ts, u64 fd, u64 message, u64 flags) {
  const abi::Row& row = *abi::find_row(__NR_sendmsg);
  u64 args[6] = {fd, message, flags};
  MsgHdr header;
  if (!user_read(message, &header, sizeof header)) return offload(ts, row, args);
  Outgoing out;
  Lending lending(ts);
  gather(nullptr, header.iov, header.iovlen, out);
  translate(ts, fd, out, lending);
  translate_sender(ts, header, out);
  if (!out.changed && !out.control_bytes) return offload(ts, row, args);
  const iovec whole{out.bytes, out.count};
  if (out.changed) header.iov = ptr(&whole);
  if (out.changed) header.iovlen = 1;
  if (out.control_bytes) header.control = ptr(out.control);
  args[1] = ptr(&header);
  return offload(ts, row, args);
}

constexpr u64 kEntry = 64, kEntryLength = 56;  // struct mmsghdr

bool needs_care(u64 message) {
  MsgHdr header;
  if (!user_read(message, &header, sizeof header)) return false;
  Outgoing out;
  gather(nullptr, header.iov, header.iovlen, out);
  return out.number_count || header.controllen;
}

// If any of the messages needs care, they are sent one by one.
long send_messages(ThreadState* ts, const abi::Row& row, u64 fd) {
  const Frame& f = ts->frame;
  const u64 count = min(static_cast<u32>(f.rdx), abi::kMaxIov);
  bool any = false;
  for (u64 i = 0; i < count && !any; i++) any = needs_care(f.rsi + i * kEntry);
  if (!any) return offload_frame(ts, row);
  for (u64 i = 0; i < count; i++) {
    const u64 at = f.rsi + i * kEntry;
    const long result = send_one(ts, fd, at, f.r10);
    if (result < 0) return i ? static_cast<long>(i) : result;
    const u32 bytes = static_cast<u32>(result);
    if (!user_write(at + kEntryLength, &bytes, sizeof bytes))
      return i ? static_cast<long>(i) : -EFAULT;
  }
  return static_cast<long>(count);
}

// write, writev and sendto.
long send_bytes(ThreadState* ts, const abi::Row& row, u64 fd) {
  const Frame& f = ts->frame;
  u64 args[6] = {f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9};
  Outgoing out;
  Lending lending(ts);
  const bool vector = row.nr == __NR_writev;
  iovec whole{reinterpret_cast<void*>(f.rsi), f.rdx};
  gather(vector ? nullptr : &whole, f.rsi, vector ? f.rdx : 1, out);
  translate(ts, fd, out, lending);
  if (out.changed) {
    whole = {out.bytes, out.count};
    args[1] = vector ? ptr(&whole) : ptr(out.bytes);
    args[2] = vector ? 1 : out.count;
  }
  return offload(ts, row, args);
}

}  // namespace

long do_netlink(ThreadState* ts, const abi::Row& row) {
  switch (row.nr) {
    case __NR_bind:
      return do_bind(ts, row);
    case __NR_connect:
      return do_connect(ts, row);
    case __NR_write:
    case __NR_writev:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_sendmmsg:
      break;
    default:
      return offload_frame(ts, row);
  }
  sockaddr_nl own;
  const u64 fd = static_cast<u32>(ts->frame.rdi);
  const State state = state_of(ts, fd, own);
  // An empty message fails before it would give the socket an address.
  const bool empty = (row.nr == __NR_write || row.nr == __NR_sendto) && ts->frame.rdx == 0;
  if (state == State::kOther || empty) return offload_frame(ts, row);
  if (state == State::kUnbound) bind_as_process(ts, fd, own);
  if (const long error = ready(ts)) return error;
  if (row.nr == __NR_sendmsg) return send_one(ts, fd, ts->frame.rsi, ts->frame.rdx);
  return row.nr == __NR_sendmmsg ? send_messages(ts, row, fd) : send_bytes(ts, row, fd);
}

}  // namespace mino::hook
