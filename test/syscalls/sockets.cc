// SPDX-License-Identifier: Apache-2.0
//
// The life of a socket: made, named, listening, shut down; and each error on the way. Connections
// are in connections.cc.

#include <linux/netlink.h>
#include <net/ethernet.h>

#include "loopback.h"

TEST(families) {
  struct {
    int family, type, protocol;
  } const rows[] = {
      {AF_INET, SOCK_STREAM, IPPROTO_TCP},
      {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
      {AF_INET6, SOCK_STREAM, IPPROTO_TCP},
      {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
      {AF_INET, SOCK_RAW, IPPROTO_ICMP},
      {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
      {AF_PACKET, SOCK_RAW, 0},
      {AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
  };
  for (auto& row : rows) {
    int fd = OK(socket(row.family, row.type, row.protocol));
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_DOMAIN), row.family);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), row.type);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), row.protocol);
    EXPECT_EQ(close(fd), 0);
  }
}

TEST(socket_errors) {
  EXPECT_ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
  EXPECT_ERR(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
  EXPECT_ERR(socket(AF_INET, 15, 0), EINVAL);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM | 0x40000, 0), EINVAL);
  EXPECT_ERR(socket(AF_INET, SOCK_RDM, 0), ESOCKTNOSUPPORT);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_INET6, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
  EXPECT_ERR(socket(AF_NETLINK, SOCK_RAW, 999), EPROTONOSUPPORT);
  int pair[2];
  EXPECT_ERR(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
  EXPECT_ERR(socketpair(AF_INET6, SOCK_DGRAM, 0, pair), EOPNOTSUPP);
  EXPECT_ERR(socketpair(99, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
  // No failure may cost a descriptor.
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(close(fd), 0);
  int again = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(again, fd);
}

TEST(flags) {
  int fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
  close(fd);
  fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), 0);
  EXPECT_EQ(fcntl(fd, F_GETFL), O_RDWR);
}

TEST(bind_errors) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = loopback();
  EXPECT_ERR(bind(fd, generic(&address), sizeof address - 1), EINVAL);
  EXPECT_ERR(bind(fd, generic(&address), 0), EINVAL);
  EXPECT_ERR(bind(fd, generic(&address), 0xffffffffu), EINVAL);
  EXPECT_ERR(bind(fd, generic(&address), 4096), EINVAL);
  sockaddr_in odd = address;
  odd.sin_family = AF_INET6;
  EXPECT_ERR(bind(fd, generic(&odd), sizeof odd), EAFNOSUPPORT);
  sockaddr_in foreign = loopback(0, "192.0.2.77");
  EXPECT_ERR(bind(fd, generic(&foreign), sizeof foreign), EADDRNOTAVAIL);
  EXPECT_EQ(bind(fd, generic(&address), sizeof address), 0);
  EXPECT_ERR(bind(fd, generic(&address), sizeof address), EINVAL);
  sockaddr_in name = name_of(fd);
  EXPECT(name.sin_port != 0);
  EXPECT_EQ(name.sin_addr.s_addr, address.sin_addr.s_addr);
  int second = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(bind(second, generic(&name), sizeof name), EADDRINUSE);
  EXPECT_ERR(bind(-1, generic(&address), sizeof address), EBADF);
  EXPECT_ERR(bind(9999, generic(&address), sizeof address), EBADF);
}

TEST(listen_and_accept_errors) {
  int udp = bound(SOCK_DGRAM, loopback());
  EXPECT_ERR(listen(udp, 1), EOPNOTSUPP);
  EXPECT_ERR(accept(udp, nullptr, nullptr), EOPNOTSUPP);
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(accept(tcp, nullptr, nullptr), EINVAL);
  int idle = listener(SOCK_NONBLOCK);
  EXPECT_ERR(accept(idle, nullptr, nullptr), EAGAIN);
  EXPECT_ERR(accept4(idle, nullptr, nullptr, 0x40000000), EINVAL);
  EXPECT_ERR(accept(-1, nullptr, nullptr), EBADF);
  EXPECT_ERR(listen(-1, 1), EBADF);
  EXPECT_EQ(listen(idle, 3), 0);  // again: only the backlog changes
  // A socket that was never bound gets a port by listening.
  EXPECT_EQ(listen(tcp, 1), 0);
  EXPECT(name_of(tcp).sin_port != 0);
  // A failed accept costs no descriptor.
  int next = OK(dup(0));
  close(next);
  EXPECT_ERR(accept(idle, nullptr, nullptr), EAGAIN);
  EXPECT_EQ(OK(dup(0)), next);
}

TEST(not_connected) {
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0)), udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in peer;
  socklen_t length = sizeof peer;
  char byte = 0;
  EXPECT_ERR(getpeername(tcp, generic(&peer), &length), ENOTCONN);
  EXPECT_ERR(getpeername(udp, generic(&peer), &length), ENOTCONN);
  EXPECT_ERR(recv(tcp, &byte, 1, 0), ENOTCONN);
  EXPECT_ERR(read(tcp, &byte, 1), ENOTCONN);
  EXPECT_ERR(send(tcp, &byte, 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_ERR(send(udp, &byte, 1, 0), EDESTADDRREQ);
  EXPECT_ERR(write(udp, &byte, 1), EDESTADDRREQ);
  EXPECT_ERR(shutdown(udp, SHUT_RDWR), ENOTCONN);
  EXPECT_ERR(shutdown(tcp, SHUT_RDWR), ENOTCONN);
  EXPECT_EQ(recv(tcp, &byte, 1, 0), 0);  // the failed shutdown has had its effect all the same
}

TEST(not_sockets) {
  int pipes[2];
  OK(pipe(pipes));
  sockaddr_in address = loopback();
  socklen_t length = sizeof address;
  char byte = 0;
  EXPECT_ERR(bind(pipes[0], generic(&address), length), ENOTSOCK);
  EXPECT_ERR(connect(pipes[0], generic(&address), length), ENOTSOCK);
  EXPECT_ERR(listen(pipes[0], 1), ENOTSOCK);
  EXPECT_ERR(accept(pipes[0], nullptr, nullptr), ENOTSOCK);
  EXPECT_ERR(getsockname(pipes[0], generic(&address), &length), ENOTSOCK);
  EXPECT_ERR(send(pipes[1], &byte, 1, 0), ENOTSOCK);
  EXPECT_ERR(recv(pipes[0], &byte, 1, 0), ENOTSOCK);
  EXPECT_ERR(shutdown(pipes[0], SHUT_RD), ENOTSOCK);
  EXPECT_ERR(setsockopt(pipes[0], SOL_SOCKET, SO_KEEPALIVE, &length, 4), ENOTSOCK);
}

TEST(shutdowns) {
  Pair pair = tcp_pair();
  char byte = 0;
  EXPECT_ERR(shutdown(pair.a, 3), EINVAL);
  EXPECT_ERR(shutdown(pair.a, -1), EINVAL);
  EXPECT_EQ(write(pair.a, "z", 1), 1);
  EXPECT_EQ(shutdown(pair.a, SHUT_WR), 0);
  EXPECT_ERR(send(pair.a, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(read(pair.b, &byte, 1), 1);
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
  // The other direction stays open.
  EXPECT_EQ(write(pair.b, "y", 1), 1);
  EXPECT_EQ(read(pair.a, &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(shutdown(pair.a, SHUT_RD), 0);
  EXPECT_EQ(read(pair.a, &byte, 1), 0);
  EXPECT_EQ(shutdown(pair.b, SHUT_RDWR), 0);
  close_pair(pair);
}

TEST(datagram_connect) {
  int a = bound(SOCK_DGRAM, loopback(0, "127.0.5.1")), b = bound(SOCK_DGRAM, loopback());
  int stranger = bound(SOCK_DGRAM, loopback());
  sockaddr_in to_a = name_of(a), to_b = name_of(b), peer = {};
  EXPECT_EQ(connect(a, generic(&to_b), sizeof to_b), 0);
  socklen_t length = sizeof peer;
  EXPECT_EQ(getpeername(a, generic(&peer), &length), 0);
  EXPECT_EQ(peer.sin_port, to_b.sin_port);
  // A connected socket hears only its peer.
  EXPECT_EQ(sendto(stranger, "no", 2, 0, generic(&to_a), sizeof to_a), 2);
  EXPECT_EQ(sendto(b, "yes", 3, 0, generic(&to_a), sizeof to_a), 3);
  char text[8] = {};
  EXPECT_EQ(recv(a, text, sizeof text, 0), 3);
  EXPECT_TEXT(text, "yes");
  sockaddr nobody = {};
  nobody.sa_family = AF_UNSPEC;
  EXPECT_EQ(connect(a, &nobody, sizeof nobody), 0);
  EXPECT_ERR(getpeername(a, generic(&peer), &length), ENOTCONN);
  EXPECT_ERR(send(a, "x", 1, 0), EDESTADDRREQ);
}

TEST(reuse) {
  int first = OK(socket(AF_INET, SOCK_STREAM, 0)), second = OK(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = loopback(0, "127.0.6.1");
  for (int fd : {first, second}) EXPECT_EQ(set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
  EXPECT_EQ(bind(first, generic(&address), sizeof address), 0);
  address = name_of(first);
  EXPECT_EQ(bind(second, generic(&address), sizeof address), 0);
  EXPECT_EQ(listen(first, 4), 0);
  EXPECT_EQ(listen(second, 4), 0);
  int third = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(set_option(third, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  EXPECT_ERR(bind(third, generic(&address), sizeof address), EADDRINUSE);
}

TEST(ipv6) {
  Pair pair = tcp6_pair();
  EXPECT(pair_works(pair));
  close_pair(pair);
  Pair datagrams = udp_pair<sockaddr_in6>();
  EXPECT(pair_works(datagrams));
  // One socket for both families, until IPV6_V6ONLY says otherwise.
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  int both = bound(SOCK_STREAM, any);
  OK(listen(both, 4));
  sockaddr_in to = loopback(name_of<sockaddr_in6>(both).sin6_port);
  int client = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(connect(client, generic(&to), sizeof to), 0);
  sockaddr_in6 peer = {};
  socklen_t length = sizeof peer;
  int server = OK(accept(both, generic(&peer), &length));
  EXPECT_EQ(length, sizeof peer);
  EXPECT(IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
  EXPECT(pair_works({client, server}));
  EXPECT_ERR(set_option(both, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL);
  sockaddr_in short_name = loopback();
  int six = OK(socket(AF_INET6, SOCK_STREAM, 0));
  EXPECT_ERR(bind(six, generic(&short_name), sizeof short_name), EINVAL);
}
