// SPDX-License-Identifier: Apache-2.0
//
// The ioctls of sockets and interfaces, among them the old ones whose number says nothing about the
// size of their argument.

#include <linux/ethtool.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sys/ioctl.h>

#include <vector>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

ifreq interface(const char* name = "lo") {
  ifreq request = {};
  strcpy(request.ifr_name, name);
  return request;
}

}  // namespace

TEST(waiting_bytes) {
  Pair pair = tcp_pair(), datagrams = udp_pair();
  int value = -1;
  EXPECT_EQ(ioctl(pair.b, FIONREAD, &value), 0);
  EXPECT_EQ(value, 0);
  EXPECT_EQ(write(pair.a, "12345", 5), 5);
  EXPECT(readable(pair.b));
  EXPECT_EQ(ioctl(pair.b, FIONREAD, &value), 0);
  EXPECT_EQ(value, 5);
  EXPECT_EQ(write(datagrams.a, "123", 3), 3);
  EXPECT_EQ(write(datagrams.a, "12", 2), 2);
  EXPECT(readable(datagrams.b));
  EXPECT_EQ(ioctl(datagrams.b, SIOCINQ, &value), 0);
  EXPECT_EQ(value, 3);  // of the first datagram
  EXPECT_ERR(ioctl(listener(), FIONREAD, &value), EINVAL);
  EXPECT_EQ(ioctl(datagrams.a, SIOCOUTQ, &value), 0);
  EXPECT_EQ(value, 0);
  // Fill the connection: what is not acknowledged is counted.
  std::vector<char> data(1 << 20);
  while (send(pair.a, data.data(), data.size(), MSG_DONTWAIT) > 0) {
  }
  EXPECT_EQ(ioctl(pair.a, SIOCOUTQ, &value), 0);
  EXPECT(value > 0);
  EXPECT_EQ(ioctl(pair.a, SIOCOUTQNSD, &value), 0);
  EXPECT(value > 0);
}

TEST(modes) {
  Pair pair = tcp_pair();
  int on = 1, off = 0;
  char byte;
  EXPECT_EQ(ioctl(pair.a, FIONBIO, &on), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFL), O_RDWR | O_NONBLOCK);
  EXPECT_ERR(read(pair.a, &byte, 1), EAGAIN);
  EXPECT_EQ(ioctl(pair.a, FIONBIO, &off), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFL), O_RDWR);
  EXPECT_EQ(ioctl(pair.a, FIOCLEX), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ioctl(pair.a, FIONCLEX), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFD), 0);
  EXPECT_EQ(ioctl(pair.a, FIOASYNC, &on), 0);
  EXPECT_EQ(fcntl(pair.a, F_GETFL), O_RDWR | O_ASYNC);
}

TEST(urgent_mark) {
  Pair pair = tcp_pair();
  int at_mark = -1;
  char text[8];
  EXPECT_EQ(set_option(pair.b, SOL_SOCKET, SO_OOBINLINE, 1), 0);
  EXPECT_EQ(ioctl(pair.b, SIOCATMARK, &at_mark), 0);
  EXPECT_EQ(at_mark, 0);
  EXPECT_EQ(write(pair.a, "ab", 2), 2);
  EXPECT_EQ(send(pair.a, "!", 1, MSG_OOB), 1);
  EXPECT_EQ(events_of(pair.b, POLLPRI, 5000), POLLPRI);
  EXPECT_EQ(read(pair.b, text, 8), 2);  // reading stops at the mark
  EXPECT_EQ(ioctl(pair.b, SIOCATMARK, &at_mark), 0);
  EXPECT_EQ(at_mark, 1);
  EXPECT_EQ(sockatmark(pair.b), 1);
  EXPECT_EQ(read(pair.b, text, 8), 1);
}

TEST(interface_list) {
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  ifconf list = {};
  EXPECT_EQ(ioctl(fd, SIOCGIFCONF, &list), 0);  // without a buffer: the size
  EXPECT(list.ifc_len >= static_cast<int>(sizeof(ifreq)));
  EXPECT_EQ(static_cast<size_t>(list.ifc_len) % sizeof(ifreq), 0);
  ifreq rows[32] = {};
  list.ifc_len = sizeof rows;
  list.ifc_req = rows;
  EXPECT_EQ(ioctl(fd, SIOCGIFCONF, &list), 0);
  bool found = false;
  for (size_t i = 0; i < static_cast<size_t>(list.ifc_len) / sizeof(ifreq); i++) {
    if (strcmp(rows[i].ifr_name, "lo") != 0) continue;
    found = true;
    auto* address = reinterpret_cast<sockaddr_in*>(&rows[i].ifr_addr);
    EXPECT_EQ(address->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  }
  EXPECT(found);
  list.ifc_len = sizeof(ifreq) - 1;  // room for none
  EXPECT_EQ(ioctl(fd, SIOCGIFCONF, &list), 0);
  EXPECT_EQ(list.ifc_len, 0);
  Guarded page;
  list.ifc_len = 4096;
  list.ifc_buf = page.end();
  EXPECT_ERR(ioctl(fd, SIOCGIFCONF, &list), EFAULT);
  // Through a buffer that is just large enough, at the edge of a page.
  list.ifc_len = sizeof(ifreq);
  list.ifc_buf = page.tail(sizeof(ifreq));
  EXPECT_EQ(ioctl(fd, SIOCGIFCONF, &list), 0);
  EXPECT_EQ(list.ifc_len, sizeof(ifreq));
}

TEST(loopback_interface) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  ifreq request = interface();
  EXPECT_EQ(ioctl(fd, SIOCGIFINDEX, &request), 0);
  EXPECT_EQ(request.ifr_ifindex, 1);
  EXPECT_EQ(if_nametoindex("lo"), 1);
  char name[IF_NAMESIZE] = {};
  EXPECT(if_indextoname(1, name) != nullptr);
  EXPECT_TEXT(name, "lo");
  EXPECT_EQ(ioctl(fd, SIOCGIFFLAGS, &request), 0);
  EXPECT_EQ(request.ifr_flags, IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
  EXPECT_EQ(ioctl(fd, SIOCGIFADDR, &request), 0);
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&request.ifr_addr)->sin_addr.s_addr,
            htonl(INADDR_LOOPBACK));
  EXPECT_EQ(ioctl(fd, SIOCGIFNETMASK, &request), 0);
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&request.ifr_addr)->sin_addr.s_addr, htonl(0xff000000));
  EXPECT_EQ(ioctl(fd, SIOCGIFMTU, &request), 0);
  EXPECT_EQ(request.ifr_mtu, 65536);
  EXPECT_EQ(ioctl(fd, SIOCGIFHWADDR, &request), 0);
  EXPECT_EQ(request.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
  EXPECT_EQ(ioctl(fd, SIOCGIFTXQLEN, &request), 0);
  EXPECT_EQ(request.ifr_qlen, 1000);
  request = interface("nosuchdev");
  EXPECT_ERR(ioctl(fd, SIOCGIFINDEX, &request), ENODEV);
  EXPECT_ERR(ioctl(fd, SIOCGIFFLAGS, &request), ENODEV);
  request = interface();
  request.ifr_ifindex = 123456;
  EXPECT_ERR(ioctl(fd, SIOCGIFNAME, &request), ENODEV);
  EXPECT_EQ(if_nametoindex("nosuchdev"), 0);
}

TEST(changing_an_interface) {
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  ifreq request = interface();
  EXPECT_EQ(ioctl(fd, SIOCGIFFLAGS, &request), 0);
  EXPECT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);  // to what it is already
  EXPECT_EQ(ioctl(fd, SIOCGIFTXQLEN, &request), 0);
  EXPECT_EQ(ioctl(fd, SIOCSIFTXQLEN, &request), 0);
  // Adds a second address, which sockets can then use, and removes it.
  request = interface("lo:mino");
  sockaddr_in extra = loopback(0, "198.18.77.1");
  memcpy(&request.ifr_addr, &extra, sizeof extra);
  EXPECT_EQ(ioctl(fd, SIOCSIFADDR, &request), 0);
  int user = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(bind(user, generic(&extra), sizeof extra), 0);
  request = interface("lo:mino");
  request.ifr_flags = 0;
  EXPECT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
  int too_late = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERR(bind(too_late, generic(&extra), sizeof extra), EADDRNOTAVAIL);
}

// The argument's ifr_data points at memory that the driver reads and writes.
TEST(pointer_in_the_argument) {
  int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  ethtool_value value = {ETHTOOL_GLINK, 0};
  ifreq request = interface();
  request.ifr_data = reinterpret_cast<char*>(&value);
  EXPECT_EQ(ioctl(fd, SIOCETHTOOL, &request), 0);
  EXPECT_EQ(value.data, 1);
  for (void* bad : bad_pointers()) {
    request.ifr_data = static_cast<char*>(bad);
    EXPECT_ERR(ioctl(fd, SIOCETHTOOL, &request), EFAULT);
  }
}

TEST(last_packet_time) {
  Pair pair = udp_pair();
  timeval stamp = {};
  EXPECT_ERR(ioctl(pair.b, SIOCGSTAMP, &stamp), ENOENT);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  char byte;
  EXPECT_EQ(read(pair.b, &byte, 1), 1);
  EXPECT_EQ(ioctl(pair.b, SIOCGSTAMP, &stamp), 0);
}

// A request that makes a descriptor.
TEST(namespace_of_a_socket) {
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0)), udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  int one = ioctl(tcp, SIOCGSKNS), two = ioctl(udp, SIOCGSKNS);
  EXPECT_EQ(one, udp + 1);
  EXPECT_EQ(two, udp + 2);
  EXPECT_EQ(fcntl(one, F_GETFD), FD_CLOEXEC);
  struct stat first = {}, second = {};
  EXPECT_EQ(fstat(one, &first), 0);
  EXPECT_EQ(fstat(two, &second), 0);
  EXPECT(first.st_ino == second.st_ino && first.st_ino != 0);
  EXPECT_EQ(ioctl(one, NS_GET_NSTYPE), CLONE_NEWNET);
  EXPECT_EQ(close(one), 0);
  EXPECT_EQ(close(two), 0);
  EXPECT_ERR(close(one), EBADF);
  EXPECT_EQ(dup(tcp), one);
}

TEST(errors) {
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0)), value = 0;
  char bytes[256] = {};
  EXPECT_ERR(ioctl(tcp, 0x12345678, bytes), ENOTTY);
  EXPECT_ERR(ioctl(tcp, TCGETS, bytes), ENOTTY);
  EXPECT_ERR(ioctl(tcp, TIOCGWINSZ, bytes), ENOTTY);
  EXPECT(!isatty(tcp));
  EXPECT_EQ(errno, ENOTTY);
  EXPECT_ERR(ioctl(tcp, 0, bytes), ENOTTY);
  EXPECT_ERR(ioctl(-1, FIONREAD, &value), EBADF);
  EXPECT_ERR(ioctl(9999, FIONBIO, &value), EBADF);
  rtentry route = {};
  check::report("SIOCADDRT %s", check::outcome(ioctl(tcp, SIOCADDRT, &route)));
  check::report("SIOCGARP %s", check::outcome(ioctl(tcp, SIOCGARP, bytes)));
  check::report("SIOCGPGRP %s", check::outcome(ioctl(tcp, SIOCGPGRP, &value)));
  EXPECT_EQ(value, 0);
}
