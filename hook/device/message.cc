// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/message.h.
#include "hook/device/message.h"

#include "hook/base/mem.h"
#include "hook/base/msghdr.h"
#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

struct Control {  // two descriptors are expected at most
  CmsgHdr header;
  int fds[4];
};

// The mark of a control connection: an absurdly long send timeout, in seconds.
constexpr i64 kControlMark = 0x6d696e6f;

}  // namespace

void set_receive_timeout(int fd, i64 seconds) {
  const i64 value[2] = {seconds, 0};
  raw(__NR_setsockopt, static_cast<u64>(fd), SOL_SOCKET, SO_RCVTIMEO, ptr(value), sizeof value);
}

void mark_control(int fd) {
  const i64 mark[2] = {kControlMark, 0};
  raw(__NR_setsockopt, static_cast<u64>(fd), SOL_SOCKET, SO_SNDTIMEO, ptr(mark), sizeof mark);
}

bool is_control(u64 fd) {
  i64 mark[2] = {};
  u32 bytes = sizeof mark;
  return raw(__NR_getsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, ptr(mark), ptr(&bytes)) == 0 &&
         mark[0] == kControlMark;
}

bool send_message(const Session& session, const abi::Message& message, int fd, u64 flags) {
  iovec iov{const_cast<abi::Message*>(&message), sizeof message};
  Control control{{sizeof(CmsgHdr) + sizeof fd, SOL_SOCKET, SCM_RIGHTS}, {fd}};
  MsgHdr header{};
  header.iov = ptr(&iov);
  header.iovlen = 1;
  if (fd >= 0) {
    header.control = ptr(&control);
    header.controllen = 24;
  }
  long sent;
  do sent = raw(__NR_sendmsg, static_cast<u64>(session.socket), ptr(&header), flags | MSG_NOSIGNAL);
  while (sent == -EINTR);
  return sent == sizeof message;
}

bool receive_message(int socket, abi::Message& message, int* fds, int want) {
  iovec iov{&message, sizeof message};
  Control control{};
  MsgHdr header{};
  header.iov = ptr(&iov);
  header.iovlen = 1;
  header.control = ptr(&control);
  header.controllen = sizeof control;
  long got;
  do got = raw(__NR_recvmsg, static_cast<u64>(socket), ptr(&header), MSG_CMSG_CLOEXEC);
  while (got == -EINTR);
  int count = 0;
  if (!is_error(got) && header.controllen >= sizeof(CmsgHdr) &&
      control.header.level == SOL_SOCKET && control.header.type == SCM_RIGHTS) {
    count = static_cast<int>((control.header.len - sizeof(CmsgHdr)) / sizeof(int));
  }
  const bool good =
      got == sizeof message && message.magic == abi::Message::kMessageMagic && count == want;
  if (got != sizeof message) message.type = {};
  for (int i = 0; i < count; i++) {
    if (good) {
      fds[i] = control.fds[i];
    } else {
      raw(__NR_close, static_cast<u64>(control.fds[i]));
    }
  }
  return good;
}

bool await_message(const Session& session, abi::MessageType type, abi::Message& message, int* fds,
                   int want) {
  set_receive_timeout(session.socket, 10);
  bool good;
  do {
    good = receive_message(session.socket, message, fds, want);
    if (message.type == type) break;
    for (int i = 0; good && i < want; i++) raw(__NR_close, static_cast<u64>(fds[i]));
    good = false;
  } while (message.type != abi::MessageType{});
  set_receive_timeout(session.socket, 0);
  return good;
}

void tell_refusal(const abi::Message& message) {
  char line[sizeof message.text + 16];
  char* end = print(line, "mino: ");
  for (u64 i = 0; i < sizeof message.text && message.text[i]; i++) *end++ = message.text[i];
  *end++ = '\n';
  raw(__NR_write, 2, ptr(line), static_cast<u64>(end - line));
}

}  // namespace mino::hook
