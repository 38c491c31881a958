// SPDX-License-Identifier: Apache-2.0
//
// The life of a socket: made, named, listening, connected, accepted, shut down; and each error on
// the way.

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>

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
  EXPECT_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
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

TEST(accept_addresses) {
  int from = listener();
  int client = connected_to(from);
  sockaddr_in client_name = name_of(client), peer = {};
  socklen_t length = sizeof peer;
  int server = OK(accept(from, generic(&peer), &length));
  EXPECT_EQ(length, sizeof peer);
  EXPECT(memcmp(&peer, &client_name, sizeof peer) == 0);
  length = sizeof peer;
  EXPECT_EQ(getpeername(server, generic(&peer), &length), 0);
  EXPECT(memcmp(&peer, &client_name, sizeof peer) == 0);
  // A short buffer gets its part, and the true length.
  for (socklen_t room : {0u, 2u, 8u}) {
    unsigned char bytes[32];
    memset(bytes, 0xee, sizeof bytes);
    length = room;
    EXPECT_EQ(getpeername(server, generic(bytes), &length), 0);
    EXPECT_EQ(length, sizeof peer);
    EXPECT(memcmp(bytes, &client_name, room) == 0);
    EXPECT_EQ(bytes[room], 0xee);
  }
  length = 0xffffffff;
  EXPECT_ERR(getpeername(server, generic(&peer), &length), EINVAL);
  EXPECT_ERR(getsockname(server, generic(&peer), &length), EINVAL);
  int second = connected_to(from);
  length = 3;
  int accepted = OK(accept(from, generic(&peer), &length));
  EXPECT_EQ(length, sizeof peer);
  EXPECT(pair_works({second, accepted}));
}

TEST(accept4_flags) {
  int from = listener(SOCK_NONBLOCK | SOCK_CLOEXEC);
  int clients[4];
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK), static_cast<int>(SOCK_CLOEXEC),
                    SOCK_NONBLOCK | SOCK_CLOEXEC}) {
    clients[0] = connected_to(from);
    EXPECT(readable(from));
    int fd = OK(accept4(from, nullptr, nullptr, flags));
    EXPECT_EQ(fcntl(fd, F_GETFD), flags & SOCK_CLOEXEC ? FD_CLOEXEC : 0);
    EXPECT_EQ(fcntl(fd, F_GETFL), flags & SOCK_NONBLOCK ? O_RDWR | O_NONBLOCK : O_RDWR);
    close(fd);
    close(clients[0]);
  }
}

TEST(many_accepts) {
  int from = listener(0, 16);
  int clients[16];
  for (int& fd : clients) fd = connected_to(from);
  for (int client : clients) {
    int server = OK(accept(from, nullptr, nullptr));
    sockaddr_in peer = {};
    socklen_t length = sizeof peer;
    EXPECT_EQ(getpeername(server, generic(&peer), &length), 0);
    EXPECT_EQ(peer.sin_port, name_of(client).sin_port);  // in the order of their connects
    EXPECT(pair_works({client, server}));
    close(server);
  }
}

TEST(connect_errors) {
  int closed = bound(SOCK_STREAM, loopback());  // bound, but nobody listens
  sockaddr_in address = name_of(closed);
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), ECONNREFUSED);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address - 1), EINVAL);
  EXPECT_ERR(connect(fd, generic(&address), 1), EINVAL);
  sockaddr_in odd = address;
  odd.sin_family = AF_UNIX;
  EXPECT_ERR(connect(fd, generic(&odd), sizeof odd), EAFNOSUPPORT);
  EXPECT_ERR(connect(-1, generic(&address), sizeof address), EBADF);
  EXPECT_EQ(listen(closed, 1), 0);
  EXPECT_EQ(connect(fd, generic(&address), sizeof address), 0);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EISCONN);
  EXPECT_ERR(connect(closed, generic(&address), sizeof address), EISCONN);
  EXPECT_ERR(listen(fd, 1), EINVAL);
}

TEST(connect_without_waiting) {
  int from = listener();
  sockaddr_in address = name_of(from);
  int fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EINPROGRESS);
  EXPECT_EQ(events_of(fd, POLLOUT, 5000), POLLOUT);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_EQ(connect(fd, generic(&address), sizeof address), 0);
  EXPECT_ERR(connect(fd, generic(&address), sizeof address), EISCONN);
  close(from);
  int refused = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERR(connect(refused, generic(&address), sizeof address), EINPROGRESS);
  EXPECT_EQ(events_of(refused, POLLOUT, 5000), POLLOUT | POLLERR | POLLHUP);
  EXPECT_EQ(option(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT_EQ(option(refused, SOL_SOCKET, SO_ERROR), 0);
}

TEST(connect_to_full_backlog) {
  int from = listener(0, 0);
  sockaddr_in address = name_of(from);
  int waiting[3];
  for (int& fd : waiting) {
    fd = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    EXPECT_ERR(connect(fd, generic(&address), sizeof address), EINPROGRESS);
  }
  EXPECT_EQ(events_of(waiting[0], POLLOUT, 1000), POLLOUT);
  // The queue holds one more than the backlog; the third handshake gets no answer.
  EXPECT_EQ(events_of(waiting[2], POLLOUT, 20), 0);
  EXPECT_ERR(connect(waiting[2], generic(&address), sizeof address), EALREADY);
  EXPECT_ERR(send(waiting[2], "x", 1, MSG_NOSIGNAL), EAGAIN);
  EXPECT_ERR(recv(waiting[2], &address, 1, 0), EAGAIN);
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
  // The other direction lives on.
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

TEST(packets) {
  int packet = OK(socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  sockaddr_ll where = {};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_IP);
  where.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
  EXPECT_EQ(where.sll_ifindex, 1);
  EXPECT_EQ(bind(packet, generic(&where), sizeof where), 0);
  Pair pair = udp_pair();
  EXPECT_EQ(write(pair.a, "mino packet test", 16), 16);
  bool seen = false;
  while (!seen && readable(packet, 1000)) {  // others may use lo, too
    unsigned char bytes[2048];
    sockaddr_ll from = {};
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(packet, bytes, sizeof bytes, 0, generic(&from), &length);
    if (n == 20 + 8 + 16 && memcmp(bytes + 28, "mino packet test", 16) == 0) {
      seen = true;
      EXPECT_EQ(from.sll_family, AF_PACKET);
      EXPECT_EQ(from.sll_ifindex, 1);
      EXPECT_EQ(from.sll_hatype, 772);  // ARPHRD_LOOPBACK
    }
  }
  EXPECT(seen);
}

TEST(route_netlink) {
  int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  EXPECT_EQ(sendto(fd, &request, sizeof request, 0, generic(&kernel), sizeof kernel),
            sizeof request);
  bool loopback_seen = false, done = false;
  while (!done) {
    alignas(nlmsghdr) char bytes[32768];
    ssize_t n = OK(recv(fd, bytes, sizeof bytes, 0));
    auto left = static_cast<unsigned>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) done = true;
      if (m->nlmsg_type != RTM_NEWLINK) continue;
      auto* link = static_cast<ifinfomsg*>(NLMSG_DATA(m));
      if (link->ifi_index == 1 && (link->ifi_flags & IFF_LOOPBACK)) loopback_seen = true;
    }
  }
  EXPECT(loopback_seen);
  EXPECT_ERR(listen(fd, 1), EOPNOTSUPP);
  ifaddrs* list = nullptr;
  OK(getifaddrs(&list));
  bool address_seen = false;
  for (ifaddrs* i = list; i; i = i->ifa_next) {
    if (strcmp(i->ifa_name, "lo") == 0 && i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
      address_seen = true;
    }
  }
  EXPECT(address_seen);
  freeifaddrs(list);
}
