// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: control messages as they come out of a session's socket, with descriptors that
// nobody asked for.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "channel/descriptor_passing.h"
#include "channel/session_socket.h"
#include "fuzz/input.h"

using namespace mino;

namespace {

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
    const std::vector<int> files(shape & 0x0f, file);
    send_datagram(ends[1], bytes, n, files, MSG_DONTWAIT);
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
