// SPDX-License-Identifier: Apache-2.0
//
// Connected sockets on the loopback of whatever network namespace serves the process, for the tests
// of this directory. Other programs may use the same namespace at the same time: ports are chosen
// by the kernel, or are this process's own (own_port).
//
// It must never depend on an address other than 127.0.0.0/8 and ::1.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "check.h"

template <class Address>
sockaddr* generic(Address* address) {
  return reinterpret_cast<sockaddr*>(address);
}

inline sockaddr_in loopback(uint16_t network_port = 0, const char* ip = "127.0.0.1") {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = network_port;
  inet_pton(AF_INET, ip, &address.sin_addr);
  return address;
}

inline sockaddr_in6 loopback6(uint16_t network_port = 0) {
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = network_port;
  address.sin6_addr = in6addr_loopback;
  return address;
}

// The local address of a socket, for others to connect to.
template <class Address = sockaddr_in>
Address name_of(int fd) {
  Address address = {};
  socklen_t length = sizeof address;
  OK(getsockname(fd, generic(&address), &length));
  return address;
}

template <class Address>
int bound(int type, Address address) {
  int fd = OK(socket(generic(&address)->sa_family, type, 0));
  OK(bind(fd, generic(&address), sizeof address));
  return fd;
}

// A port that nobody else binds: outside the range that the kernel chooses from, and by process id.
// For what binds one port twice.
inline uint16_t own_port() {
  return htons(static_cast<uint16_t>(2048 + getpid() % 30000));
}

inline int listener(int flags = 0, int backlog = 8, uint16_t network_port = 0) {
  int fd = bound(SOCK_STREAM | flags, loopback(network_port));
  OK(listen(fd, backlog));
  return fd;
}

inline int connected_to(int listening_fd, int flags = 0) {
  sockaddr_in address = name_of(listening_fd);
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  OK(connect(fd, generic(&address), sizeof address));
  if (flags & SOCK_NONBLOCK) OK(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
  return fd;
}

// Two ends of one connection, or two datagram sockets that are each other's peer.
struct Pair {
  int a;
  int b;
};

inline Pair tcp_pair(int flags = 0) {
  int from = listener();
  Pair pair;
  pair.a = connected_to(from, flags);
  pair.b = OK(accept4(from, nullptr, nullptr, flags));
  close(from);
  return pair;
}

inline Pair tcp6_pair() {
  int from = bound(SOCK_STREAM, loopback6());
  OK(listen(from, 8));
  sockaddr_in6 address = name_of<sockaddr_in6>(from);
  Pair pair;
  pair.a = OK(socket(AF_INET6, SOCK_STREAM, 0));
  OK(connect(pair.a, generic(&address), sizeof address));
  pair.b = OK(accept(from, nullptr, nullptr));
  close(from);
  return pair;
}

template <class Address = sockaddr_in>
Pair udp_pair(int flags = 0) {
  Address here;
  if constexpr (std::is_same_v<Address, sockaddr_in>) {
    here = loopback();
  } else {
    here = loopback6();
  }
  Pair pair = {bound(SOCK_DGRAM | flags, here), bound(SOCK_DGRAM | flags, here)};
  Address a = name_of<Address>(pair.a), b = name_of<Address>(pair.b);
  OK(connect(pair.a, generic(&b), sizeof b));
  OK(connect(pair.b, generic(&a), sizeof a));
  return pair;
}

inline void close_pair(const Pair& pair) {
  EXPECT_EQ(close(pair.a), 0);
  EXPECT_EQ(close(pair.b), 0);
}

inline int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  if (getsockopt(fd, level, name, &value, &length) != 0) return -errno;
  return value;
}

inline int set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value);
}

// Whether an event of `events` shows up on fd within the time; the events themselves are returned.
inline int events_of(int fd, short events, int timeout_ms) {
  pollfd entry = {fd, events, 0};
  return poll(&entry, 1, timeout_ms) > 0 ? entry.revents : 0;
}

inline bool readable(int fd, int timeout_ms = 5000) {
  return (events_of(fd, POLLIN, timeout_ms) & POLLIN) != 0;
}

// One byte through the pair, both ways: the connection works.
inline bool pair_works(const Pair& pair) {
  char byte = 0;
  return write(pair.a, "x", 1) == 1 && read(pair.b, &byte, 1) == 1 && byte == 'x' &&
         write(pair.b, "y", 1) == 1 && read(pair.a, &byte, 1) == 1 && byte == 'y';
}
