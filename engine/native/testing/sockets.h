// SPDX-License-Identifier: Apache-2.0
//
// Sockets and files for the marshal's scenarios, made by plain calls that are not compared. Never
// linked into a program.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>

#include <utility>

#include "engine/native/testing/comparison.h"

namespace mino {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    if (fd < 0) std::abort();
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline Socket udp(uint16_t port, uint16_t peer = 0) {
  Socket socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  const sockaddr_in own = loopback(port), other = loopback(peer);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) std::abort();
  if (peer != 0) ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof other);
  return socket;
}

inline std::pair<Socket, Socket> tcp_pair(uint16_t port) {
  Socket listener(::socket(AF_INET, SOCK_STREAM, 0));
  const int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const sockaddr_in own = loopback(port);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0)
    std::abort();
  ::listen(listener.get(), 1);
  Socket client(::socket(AF_INET, SOCK_STREAM, 0));
  ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::connect(client.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own);
  Socket server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  return {std::move(client), std::move(server)};
}

// What a peer sees: the bytes that wait in a socket, logged like the result of a call.
inline void drain(World& world, int fd, bool stream = false) {
  char bytes[4096];
  uint32_t hash = 17;
  ssize_t total = 0;
  const auto log = [&] {
    world.log.push_back("  peer got " + std::to_string(total) + " " + std::to_string(hash));
  };
  for (;;) {
    const ssize_t got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++) hash = hash * 31 + static_cast<uint8_t>(bytes[i]);
    total += got;
    if (!stream) {
      log();
      hash = 17;
      total = 0;
    }
  }
  if (stream) log();
}

struct TempFile {
  explicit TempFile(size_t bytes) : fd(::memfd_create("marshal_test", 0)) {
    std::string content(bytes, 0);
    for (size_t i = 0; i < bytes; i++) content[i] = static_cast<char>(i * 7 + i / 256);
    if (::pwrite(fd, content.data(), bytes, 0) != static_cast<ssize_t>(bytes)) std::abort();
  }
  ~TempFile() { ::close(fd); }
  const int fd;
};

}  // namespace mino
