// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: control messages as they come out of a session's socket, with descriptors that
// nobody asked for.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/session_socket.h"
#include "fuzz/input.h"

using namespace mino;

namespace {

void send(int socket, const uint8_t* bytes, size_t n, int files, int file) {
  iovec part{const_cast<uint8_t*>(bytes), n};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (files != 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(static_cast<size_t>(files) * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(static_cast<size_t>(files) * sizeof(int));
    for (int i = 0; i < files; i++) {
      std::memcpy(CMSG_DATA(rights) + static_cast<size_t>(i) * sizeof file, &file, sizeof file);
    }
  }
  ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int lowest_free() {
  const int fd = ::dup(0);
  ::close(fd);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  Input input(data, size);
  const int before = lowest_free();
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  {
    const uint8_t shape = input.take<uint8_t>();
    if (shape & 0x80) report_senders(ends[0]);
    uint8_t bytes[2 * sizeof(abi::Message)];
    size_t n = sizeof(abi::Message);
    if (shape & 0x40) n = input.below(sizeof bytes + 1);
    abi::Message honest;
    input.bytes(bytes, n);
    if (!(shape & 0x20)) std::memcpy(bytes, &honest, 4);
    if (!(shape & 0x10)) std::memcpy(bytes + 8, &honest.version, 4);
    send(ends[1], bytes, n, shape & 0x0f, file);
    Incoming incoming;
    const Arrival arrival = receive_message(ends[0], incoming);
    if (arrival == Arrival::kMessage) {
      REQUIRE(incoming.message.magic == abi::Message::kMessageMagic);
      REQUIRE(incoming.message.version == abi::kVersion);
      REQUIRE(std::memchr(incoming.message.text, 0, sizeof incoming.message.text) != nullptr);
      REQUIRE(incoming.file_count >= 0 && incoming.file_count <= 2);
      for (int i = 0; i < incoming.file_count; i++) REQUIRE(incoming.files[i].valid());
    }
    REQUIRE(receive_message(ends[0], incoming) == Arrival::kNothing || n == 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
  REQUIRE(lowest_free() == before);  // nothing that was sent stays open
  return 0;
}
