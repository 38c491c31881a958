// SPDX-License-Identifier: Apache-2.0
//
// setsockopt and getsockopt: values of every shape, lengths that do not fit, levels and names that
// do not exist, and options whose value points at more memory.

#include <linux/filter.h>
#include <netinet/udp.h>
#include <sys/time.h>

#include <algorithm>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

struct Row {
  int level, name, value, expected;  // expected: what comes back, or -errno of the setting
};

void set_and_get(int fd, std::initializer_list<Row> rows) {
  for (auto& row : rows) {
    int result = set_option(fd, row.level, row.name, row.value);
    int got = result == 0 ? option(fd, row.level, row.name) : -errno;
    if (got == row.expected) continue;
    char what[80];
    snprintf(what, sizeof what, "level %d, option %d, value %d", row.level, row.name, row.value);
    EXPECT_TEXT(what, "");
    EXPECT_EQ(got, row.expected);
  }
}

}  // namespace

TEST(integers) {
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0)), udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  int six = OK(socket(AF_INET6, SOCK_STREAM, 0));
  for (int fd : {tcp, udp, six}) {
    set_and_get(fd, {{SOL_SOCKET, SO_REUSEADDR, 1, 1},
                     {SOL_SOCKET, SO_REUSEADDR, 7, 1},
                     {SOL_SOCKET, SO_REUSEADDR, 0, 0},
                     {SOL_SOCKET, SO_REUSEPORT, 1, 1},
                     {SOL_SOCKET, SO_BROADCAST, 1, 1},
                     {SOL_SOCKET, SO_RCVBUF, 20000, 40000},
                     {SOL_SOCKET, SO_SNDBUF, 20000, 40000},
                     {SOL_SOCKET, SO_RCVBUF, 1, 2304},
                     {SOL_SOCKET, SO_SNDBUF, 0, 4608},
                     {SOL_SOCKET, SO_PRIORITY, 3, 3},
                     {SOL_SOCKET, SO_MARK, 42, 42},
                     {SOL_SOCKET, SO_BUSY_POLL, 0, 0},
                     {SOL_SOCKET, SO_INCOMING_CPU, 0, 0},
                     {SOL_SOCKET, SO_RCVLOWAT, 5, 5},
                     {SOL_SOCKET, SO_RCVLOWAT, 0, 1},
                     {SOL_SOCKET, SO_TIMESTAMP, 1, 1},
                     {SOL_SOCKET, SO_TYPE, 1, -ENOPROTOOPT},
                     {SOL_SOCKET, SO_ERROR, 1, -ENOPROTOOPT},
                     {SOL_SOCKET, 9999, 1, -ENOPROTOOPT}});
  }
  set_and_get(tcp, {{SOL_SOCKET, SO_KEEPALIVE, 1, 1},
                    {SOL_SOCKET, SO_OOBINLINE, 1, 1},
                    {IPPROTO_TCP, TCP_NODELAY, 1, 1},
                    {IPPROTO_TCP, TCP_NODELAY, 0, 0},
                    {IPPROTO_TCP, TCP_CORK, 1, 1},
                    {IPPROTO_TCP, TCP_MAXSEG, 1000, 1000},
                    {IPPROTO_TCP, TCP_MAXSEG, 10, -EINVAL},
                    {IPPROTO_TCP, TCP_KEEPIDLE, 100, 100},
                    {IPPROTO_TCP, TCP_KEEPIDLE, 0, -EINVAL},
                    {IPPROTO_TCP, TCP_KEEPINTVL, 10, 10},
                    {IPPROTO_TCP, TCP_KEEPCNT, 4, 4},
                    {IPPROTO_TCP, TCP_SYNCNT, 3, 3},
                    {IPPROTO_TCP, TCP_LINGER2, 20, 20},
                    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, 1},
                    {IPPROTO_TCP, TCP_QUICKACK, 1, 1},
                    {IPPROTO_TCP, TCP_USER_TIMEOUT, 5000, 5000},
                    {IPPROTO_TCP, TCP_FASTOPEN, 5, 5},
                    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000, 1000},
                    {IPPROTO_TCP, 9999, 1, -ENOPROTOOPT},
                    {IPPROTO_IP, IP_TOS, 0x10, 0x10},
                    {IPPROTO_IP, IP_TTL, 10, 10},
                    {IPPROTO_IP, IP_TTL, 0, -EINVAL},
                    {IPPROTO_IP, IP_TTL, 256, -EINVAL},
                    {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_DO},
                    {IPPROTO_IP, IP_FREEBIND, 1, 1},
                    {IPPROTO_IP, IP_TRANSPARENT, 1, 1},
                    {IPPROTO_IP, 9999, 1, -ENOPROTOOPT},
                    {9999, 1, 1, -ENOPROTOOPT},
                    {-1, 1, 1, -ENOPROTOOPT}});
  set_and_get(udp, {{IPPROTO_UDP, UDP_CORK, 1, 1},
                    {IPPROTO_UDP, UDP_CORK, 0, 0},
                    {IPPROTO_UDP, UDP_SEGMENT, 1000, 1000},
                    {IPPROTO_UDP, UDP_GRO, 1, 1},
                    {IPPROTO_IP, IP_MULTICAST_TTL, 4, 4},
                    {IPPROTO_IP, IP_MULTICAST_LOOP, 0, 0},
                    {IPPROTO_TCP, TCP_NODELAY, 1, -ENOPROTOOPT}});
  set_and_get(six, {{IPPROTO_IPV6, IPV6_V6ONLY, 1, 1},
                    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9, 9},
                    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256, -EINVAL},
                    {IPPROTO_IPV6, IPV6_TCLASS, 16, 16},
                    {IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, 1},
                    {IPPROTO_IPV6, IPV6_MULTICAST_IF, 1, -ENOPROTOOPT},
                    {IPPROTO_IPV6, 9999, 1, -ENOPROTOOPT}});
}

TEST(lengths) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  unsigned char value[16];
  socklen_t length;
  // Setting: too short is an error, too long is not.
  int one = 1;
  for (int size : {0, 1, 3}) {
    EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, static_cast<socklen_t>(size)),
               EINVAL);
    EXPECT_ERR(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, static_cast<socklen_t>(size)),
               EINVAL);
  }
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, 0x80000000u), EINVAL);
  long wide = 1;
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &wide, sizeof wide), 0);
  unsigned char ttl = 77;
  EXPECT_EQ(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, 1), 0);  // IP takes a single byte, too
  // Getting: what fits, and its length.
  for (socklen_t room : {0u, 1u, 3u, 4u, 16u}) {
    memset(value, 0xaa, sizeof value);
    length = room;
    EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, &length), 0);
    EXPECT_EQ(length, std::min<socklen_t>(room, 4));
    if (room > 0) EXPECT_EQ(value[0], 1);
    EXPECT_EQ(value[room < 4 ? room : 4], 0xaa);
    length = room;
    memset(value, 0xaa, sizeof value);
    EXPECT_EQ(getsockopt(fd, IPPROTO_IP, IP_TTL, value, &length), 0);
    check::report("IP_TTL into %u bytes: %u, first byte %u", room, length, value[0]);
  }
  length = 0xffffffff;
  EXPECT_ERR(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, value, &length), EINVAL);
  EXPECT_ERR(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, value, &length), EINVAL);
  length = 4;
  EXPECT_ERR(getsockopt(fd, SOL_SOCKET, 9999, value, &length), ENOPROTOOPT);
  EXPECT_ERR(getsockopt(fd, 9999, 1, value, &length), EOPNOTSUPP);
  EXPECT_ERR(getsockopt(-1, SOL_SOCKET, SO_TYPE, value, &length), EBADF);
  EXPECT_ERR(setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, value, 4), EBADF);
}

TEST(structures) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  linger set = {1, 5}, got = {};
  socklen_t length = sizeof got;
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &set, sizeof set), 0);
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &length), 0);
  EXPECT(length == sizeof got && got.l_onoff == 1 && got.l_linger == 5);
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_LINGER, &set, 4), EINVAL);
  timeval limit = {1, 500000}, back = {};
  length = sizeof back;
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &back, &length), 0);
  EXPECT(length == sizeof back && back.tv_sec == 1 && back.tv_usec == 500000);
  limit.tv_usec = 1000000;
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), EDOM);
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, 8), EINVAL);
  char name[32] = {};
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
  length = sizeof name;
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
  EXPECT_TEXT(name, "lo");
  EXPECT_EQ(length, 3);
  length = 2;
  EXPECT_ERR(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length), EINVAL);
  EXPECT_ERR(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nosuchdev", 9), ENODEV);
  EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, nullptr, 0), 0);
  memset(name, 0, sizeof name);
  EXPECT_EQ(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
  length = sizeof name;
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  EXPECT_TEXT(name, "reno");
  EXPECT_EQ(length, 16);
  EXPECT_ERR(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "no-such-one", 11), ENOENT);
}

TEST(timeouts) {
  Pair pair = tcp_pair();
  timeval limit = {0, 40000};
  OK(setsockopt(pair.a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  char byte;
  long before = now_ms();
  EXPECT_ERR(recv(pair.a, &byte, 1, 0), EAGAIN);
  EXPECT_ERR(read(pair.a, &byte, 1), EAGAIN);
  EXPECT(now_ms() - before >= 75);
  int from = listener();
  OK(setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  EXPECT_ERR(accept(from, nullptr, nullptr), EAGAIN);
  OK(setsockopt(pair.b, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
  OK(set_option(pair.b, SOL_SOCKET, SO_SNDBUF, 100000));
  OK(set_option(pair.a, SOL_SOCKET, SO_RCVBUF, 100000));
  std::vector<char> data(4 << 20);
  ssize_t n = send(pair.b, data.data(), data.size(), 0);
  EXPECT(n > 0 && n < static_cast<ssize_t>(data.size()));        // what went out before the limit
  while ((n = send(pair.b, data.data(), data.size(), 0)) > 0) {  // until nothing goes at all
  }
  EXPECT(n == -1 && errno == EAGAIN);
}

TEST(low_water_mark) {
  Pair pair = tcp_pair();
  EXPECT_EQ(set_option(pair.b, SOL_SOCKET, SO_RCVLOWAT, 10), 0);
  EXPECT_EQ(write(pair.a, "12345", 5), 5);
  EXPECT_EQ(events_of(pair.b, POLLIN, 30), 0);
  EXPECT_EQ(write(pair.a, "67890", 5), 5);
  EXPECT_EQ(events_of(pair.b, POLLIN, 5000), POLLIN);
  char text[16];
  EXPECT_EQ(recv(pair.b, text, sizeof text, 0), 10);
}

TEST(connection_info) {
  Pair pair = tcp_pair();
  unsigned char bytes[512];
  for (socklen_t room : {0u, 1u, 8u, 100u}) {
    memset(bytes, 0xcc, sizeof bytes);
    socklen_t length = room;
    EXPECT_EQ(getsockopt(pair.a, IPPROTO_TCP, TCP_INFO, bytes, &length), 0);
    EXPECT_EQ(length, room);
    if (room > 0) EXPECT_EQ(bytes[0], 1);  // TCP_ESTABLISHED
    EXPECT_EQ(bytes[room], 0xcc);
  }
  socklen_t length = sizeof bytes;
  EXPECT_EQ(getsockopt(pair.a, IPPROTO_TCP, TCP_INFO, bytes, &length), 0);
  EXPECT(length >= 104 && length < sizeof bytes);
  tcp_info info;
  memcpy(&info, bytes, sizeof info);
  EXPECT_EQ(info.tcpi_state, 1);
  EXPECT(info.tcpi_snd_mss > 0);
  EXPECT_EQ(option(pair.a, IPPROTO_IP, IP_MTU), 65535);
  EXPECT_ERR(getsockopt(listener(), IPPROTO_IP, IP_MTU, bytes, &length), ENOTCONN);
}

// The value is a count and a pointer: the second copy is of the memory that it points to.
TEST(filters) {
  Pair pair = udp_pair();
  sock_filter only_short[] = {
      {BPF_LD | BPF_W | BPF_LEN, 0, 0, 0},
      {BPF_JMP | BPF_JGT | BPF_K, 0, 1, 8 + 4},
      {BPF_RET | BPF_K, 0, 0, 0},
      {BPF_RET | BPF_K, 0, 0, 0xffffffff},
  };
  sock_fprog program = {4, only_short};
  EXPECT_EQ(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
  EXPECT_EQ(write(pair.a, "too long", 8), 8);
  EXPECT_EQ(write(pair.a, "fits", 4), 4);
  char text[16] = {};
  EXPECT_EQ(recv(pair.b, text, sizeof text, 0), 4);
  EXPECT_TEXT(text, "fits");
  sock_filter back[8] = {};
  socklen_t length = 0;
  EXPECT_EQ(getsockopt(pair.b, SOL_SOCKET, SO_GET_FILTER, back, &length), 0);
  EXPECT_EQ(length, 4);  // in instructions
  EXPECT_EQ(getsockopt(pair.b, SOL_SOCKET, SO_GET_FILTER, back, &length), 0);
  EXPECT(memcmp(back, only_short, sizeof only_short) == 0);
  EXPECT_EQ(setsockopt(pair.b, SOL_SOCKET, SO_DETACH_FILTER, text, 4), 0);
  EXPECT_ERR(setsockopt(pair.b, SOL_SOCKET, SO_DETACH_FILTER, text, 4), ENOENT);
  for (void* bad : bad_pointers()) {
    program.filter = static_cast<sock_filter*>(bad);
    EXPECT_ERR(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), EFAULT);
  }
  program = {0, only_short};
  EXPECT_ERR(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), EINVAL);
  program = {2, only_short};  // does not end in a return
  EXPECT_ERR(setsockopt(pair.b, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), EINVAL);
}

TEST(multicast) {
  int to = OK(socket(AF_INET, SOCK_DGRAM, 0)), from = bound(SOCK_DGRAM, loopback());
  ip_mreqn group = {};
  inet_pton(AF_INET, "239.7.7.7", &group.imr_multiaddr);
  group.imr_ifindex = 1;
  EXPECT_EQ(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group), 0);
  EXPECT_ERR(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group), EADDRINUSE);
  EXPECT_ERR(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, 4), EINVAL);
  ip_mreqn unicast = group;
  inet_pton(AF_INET, "127.0.0.1", &unicast.imr_multiaddr);
  EXPECT_ERR(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &unicast, sizeof unicast), EINVAL);
  sockaddr_in any = loopback(0, "0.0.0.0");
  OK(bind(to, generic(&any), sizeof any));
  EXPECT_EQ(setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group), 0);
  sockaddr_in where = loopback(name_of(to).sin_port, "239.7.7.7");
  EXPECT_EQ(sendto(from, "all", 3, 0, generic(&where), sizeof where), 3);
  char text[8] = {};
  EXPECT(readable(to, 1000));
  EXPECT_EQ(recv(to, text, sizeof text, MSG_DONTWAIT), 3);
  EXPECT_TEXT(text, "all");
  EXPECT_EQ(setsockopt(to, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group), 0);
  EXPECT_ERR(setsockopt(to, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group), EADDRNOTAVAIL);
}

TEST(defaults) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
  OK(listen(fd, 1));
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
  unsigned long long cookie = 0, again = 1;
  socklen_t length = sizeof cookie;
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
  EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &again, &length), 0);
  EXPECT(cookie != 0 && cookie == again);
  length = 4;
  EXPECT_ERR(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), EINVAL);
  length = sizeof(ucred);
  ucred peer;
  check::report("SO_PEERCRED %s",
                check::outcome(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)));
}
