// SPDX-License-Identifier: Apache-2.0
//
// sendmsg and recvmsg with everything that a msghdr can carry, and their many-message forms.

#include <limits.h>
#include <time.h>

#include <linux/errqueue.h>
#include <linux/udp.h>
#include <netinet/ip.h>
#include <sys/syscall.h>

#include <algorithm>

#include "loopback.h"
#include "memory.h"

namespace {

// A msghdr with room for control data, and what goes with it.
struct Message {
  iovec part = {};
  sockaddr_storage name = {};
  alignas(cmsghdr) char control[512] = {};
  msghdr header = {};

  Message(const void* data, size_t size) {
    part = piece(data, size);
    header.msg_iov = &part;
    header.msg_iovlen = 1;
  }
  void expect_control(size_t room = sizeof control) {
    header.msg_control = control;
    header.msg_controllen = room;
  }
  template <class T>
  void add_control(int level, int type, const T& value) {
    auto* cmsg = reinterpret_cast<cmsghdr*>(control + header.msg_controllen);
    cmsg->cmsg_level = level;
    cmsg->cmsg_type = type;
    cmsg->cmsg_len = CMSG_LEN(sizeof value);
    memcpy(CMSG_DATA(cmsg), &value, sizeof value);
    header.msg_control = control;
    header.msg_controllen += CMSG_SPACE(sizeof value);
  }
  template <class T>
  bool find_control(int level, int type, T* value) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level == level && c->cmsg_type == type) {
        EXPECT(c->cmsg_len >= CMSG_LEN(sizeof *value));
        memcpy(value, CMSG_DATA(c), sizeof *value);
        return true;
      }
    }
    return false;
  }
};

}  // namespace

TEST(many_pieces) {
  Pair pair = udp_pair();
  auto data = pattern(5000);
  std::vector<iovec> parts;
  for (size_t at = 0, i = 0; at < data.size(); i++) {
    size_t size = i % 3 == 1 ? 0 : std::min(i, data.size() - at);
    parts.push_back(piece(size ? data.data() + at : nullptr, size));
    at += size;
  }
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  EXPECT_EQ(sendmsg(pair.a, &message, 0), 5000);
  std::vector<unsigned char> got(5000);
  std::vector<iovec> into;
  for (size_t at = 0, i = 7; at < got.size(); i += 3) {
    size_t size = i % 2 ? 0 : std::min(i, got.size() - at);
    into.push_back(piece(got.data() + at, size));
    at += size;
  }
  message.msg_iov = into.data();
  message.msg_iovlen = into.size();
  EXPECT_EQ(recvmsg(pair.b, &message, 0), 5000);
  EXPECT_EQ(message.msg_flags, 0);
  EXPECT(is_pattern(got.data(), got.size()));
}

TEST(most_pieces) {
  Pair pair = udp_pair();
  auto data = pattern(IOV_MAX + 1);
  std::vector<iovec> parts;
  for (auto& byte : data) parts.push_back(piece(&byte, 1));
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = IOV_MAX;
  EXPECT_EQ(sendmsg(pair.a, &message, 0), IOV_MAX);
  std::vector<unsigned char> got(data.size());
  EXPECT_EQ(recv(pair.b, got.data(), got.size(), MSG_PEEK), IOV_MAX);
  EXPECT(is_pattern(got.data(), IOV_MAX));
  for (size_t i = 0; i < parts.size(); i++) parts[i].iov_base = &got[parts.size() - 1 - i];
  EXPECT_EQ(recvmsg(pair.b, &message, 0), IOV_MAX);
  EXPECT_EQ(got[IOV_MAX], pattern_at(0));  // from the last byte down to the second
  EXPECT_EQ(got[1], pattern_at(IOV_MAX - 1));
  message.msg_iovlen = IOV_MAX + 1;
  EXPECT_ERR(sendmsg(pair.a, &message, 0), EMSGSIZE);
  EXPECT_ERR(recvmsg(pair.b, &message, MSG_DONTWAIT), EMSGSIZE);
  EXPECT_ERR(writev(pair.a, parts.data(), IOV_MAX + 1), EINVAL);
  EXPECT_ERR(readv(pair.b, parts.data(), IOV_MAX + 1), EINVAL);
  EXPECT_ERR(syscall(SYS_writev, pair.a, parts.data(), -1L), EINVAL);
  parts[0].iov_len = SIZE_MAX;
  EXPECT_ERR(writev(pair.a, parts.data(), 2), EINVAL);
  message.msg_iovlen = 2;
  EXPECT_ERR(sendmsg(pair.a, &message, 0), EINVAL);
  EXPECT_ERR(recvmsg(pair.b, &message, MSG_DONTWAIT), EINVAL);
}

TEST(no_pieces) {
  Pair pair = udp_pair();
  msghdr message = {};
  EXPECT_EQ(sendmsg(pair.a, &message, 0), 0);
  EXPECT_EQ(sendmsg(pair.a, &message, 0), 0);
  EXPECT(readable(pair.b));
  EXPECT_EQ(recvmsg(pair.b, &message, MSG_TRUNC), 0);
  EXPECT_EQ(writev(pair.a, nullptr, 0), 0);
  EXPECT_EQ(readv(pair.b, nullptr, 0), 0);
}

TEST(names) {
  int a = bound(SOCK_DGRAM, loopback()), b = bound(SOCK_DGRAM, loopback());
  sockaddr_in to = name_of(b), expected = name_of(a);
  Message out("name", 4);
  out.header.msg_name = &to;
  for (socklen_t length : {socklen_t{sizeof to}, socklen_t{128}}) {
    sockaddr_storage room = {};
    memcpy(&room, &to, sizeof to);
    out.header.msg_name = &room;
    out.header.msg_namelen = length;
    EXPECT_EQ(sendmsg(a, &out.header, 0), 4);
  }
  out.header.msg_namelen = sizeof to - 1;
  EXPECT_ERR(sendmsg(a, &out.header, 0), EINVAL);
  out.header.msg_namelen = 0xffffffff;
  EXPECT_ERR(sendmsg(a, &out.header, 0), EINVAL);
  char text[8] = {};
  Message in(text, sizeof text);
  in.header.msg_name = &in.name;
  in.header.msg_namelen = sizeof in.name;
  EXPECT_EQ(recvmsg(b, &in.header, 0), 4);
  EXPECT_EQ(in.header.msg_namelen, sizeof expected);
  EXPECT(memcmp(&in.name, &expected, sizeof expected) == 0);
  memset(&in.name, 0x22, sizeof in.name);
  in.header.msg_namelen = 4;
  EXPECT_EQ(recvmsg(b, &in.header, 0), 4);
  EXPECT_EQ(in.header.msg_namelen, sizeof expected);
  EXPECT(memcmp(&in.name, &expected, 4) == 0);
  EXPECT_EQ(reinterpret_cast<unsigned char*>(&in.name)[4], 0x22);
  in.header.msg_namelen = 0xffffffff;
  EXPECT_ERR(recvmsg(b, &in.header, MSG_DONTWAIT), EINVAL);
}

TEST(flags_that_come_back) {
  Pair pair = udp_pair();
  auto data = pattern(100);
  char small[10];
  Message in(small, sizeof small);
  EXPECT_EQ(send(pair.a, data.data(), 100, 0), 100);
  EXPECT_EQ(send(pair.a, data.data(), 10, 0), 10);
  in.header.msg_flags = 0x7fffffff;  // ignored on the way in
  EXPECT_EQ(recvmsg(pair.b, &in.header, 0), 10);
  EXPECT_EQ(in.header.msg_flags, MSG_TRUNC);
  EXPECT_EQ(recvmsg(pair.b, &in.header, MSG_CMSG_CLOEXEC), 10);
  EXPECT_EQ(in.header.msg_flags, MSG_CMSG_CLOEXEC);
  EXPECT_ERR(recvmsg(pair.b, &in.header, MSG_DONTWAIT), EAGAIN);
}

TEST(packet_info) {
  int to = bound(SOCK_DGRAM, loopback(0, "127.0.8.2")), from = OK(socket(AF_INET, SOCK_DGRAM, 0));
  for (int name : {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS}) {
    EXPECT_EQ(set_option(to, IPPROTO_IP, name, 1), 0);
  }
  sockaddr_in address = name_of(to);
  Message out("info", 4);
  out.header.msg_name = &address;
  out.header.msg_namelen = sizeof address;
  in_pktinfo source = {};
  inet_pton(AF_INET, "127.0.8.3", &source.ipi_spec_dst);
  out.add_control(IPPROTO_IP, IP_PKTINFO, source);
  out.add_control(IPPROTO_IP, IP_TTL, 33);
  out.add_control(IPPROTO_IP, IP_TOS, 0x10);
  EXPECT_EQ(sendmsg(from, &out.header, 0), 4);
  char text[8];
  Message in(text, sizeof text);
  in.header.msg_name = &in.name;
  in.header.msg_namelen = sizeof in.name;
  in.expect_control();
  EXPECT_EQ(recvmsg(to, &in.header, 0), 4);
  EXPECT_EQ(in.header.msg_flags, 0);
  in_pktinfo info = {};
  int ttl = 0;
  unsigned char tos = 0;
  EXPECT(in.find_control(IPPROTO_IP, IP_PKTINFO, &info));
  EXPECT_EQ(info.ipi_ifindex, 1);
  EXPECT_EQ(info.ipi_addr.s_addr, address.sin_addr.s_addr);
  EXPECT(in.find_control(IPPROTO_IP, IP_TTL, &ttl));
  EXPECT_EQ(ttl, 33);
  EXPECT(in.find_control(IPPROTO_IP, IP_TOS, &tos));
  EXPECT_EQ(tos, 0x10);
  EXPECT_EQ(reinterpret_cast<sockaddr_in*>(&in.name)->sin_addr.s_addr, source.ipi_spec_dst.s_addr);
  EXPECT_EQ(in.header.msg_controllen,
            CMSG_SPACE(sizeof info) + CMSG_SPACE(sizeof ttl) + CMSG_SPACE(sizeof tos));
}

TEST(packet_info_of_ipv6) {
  int to = bound(SOCK_DGRAM, loopback6()), from = OK(socket(AF_INET6, SOCK_DGRAM, 0));
  EXPECT_EQ(set_option(to, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 0);
  EXPECT_EQ(set_option(to, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1), 0);
  sockaddr_in6 address = name_of<sockaddr_in6>(to);
  Message out("six", 3);
  out.header.msg_name = &address;
  out.header.msg_namelen = sizeof address;
  out.add_control(IPPROTO_IPV6, IPV6_HOPLIMIT, 44);
  EXPECT_EQ(sendmsg(from, &out.header, 0), 3);
  char text[8];
  Message in(text, sizeof text);
  in.expect_control();
  EXPECT_EQ(recvmsg(to, &in.header, 0), 3);
  in6_pktinfo info = {};
  int hops = 0;
  EXPECT(in.find_control(IPPROTO_IPV6, IPV6_PKTINFO, &info));
  EXPECT_EQ(info.ipi6_ifindex, 1);
  EXPECT(IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr));
  EXPECT(in.find_control(IPPROTO_IPV6, IPV6_HOPLIMIT, &hops));
  EXPECT_EQ(hops, 44);
}

TEST(timestamps) {
  Pair pair = udp_pair();
  EXPECT_EQ(set_option(pair.b, SOL_SOCKET, SO_TIMESTAMPNS, 1), 0);
  timespec before, stamp = {}, after;
  clock_gettime(CLOCK_REALTIME, &before);
  EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
  char byte;
  Message in(&byte, 1);
  in.expect_control();
  EXPECT_EQ(recvmsg(pair.b, &in.header, 0), 1);
  clock_gettime(CLOCK_REALTIME, &after);
  EXPECT(in.find_control(SOL_SOCKET, SCM_TIMESTAMPNS, &stamp));
  EXPECT(stamp.tv_sec >= before.tv_sec && stamp.tv_sec <= after.tv_sec);
}

TEST(too_little_room_for_control) {
  Pair pair = udp_pair();
  EXPECT_EQ(set_option(pair.b, IPPROTO_IP, IP_PKTINFO, 1), 0);
  EXPECT_EQ(set_option(pair.b, IPPROTO_IP, IP_RECVTTL, 1), 0);
  char byte;
  for (size_t room : {size_t{0}, size_t{8}, sizeof(cmsghdr), CMSG_SPACE(4), CMSG_SPACE(12) + 8,
                      CMSG_SPACE(12) + CMSG_SPACE(4)}) {
    EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
    Message in(&byte, 1);
    in.expect_control(room);
    memset(in.control, 0x77, sizeof in.control);
    EXPECT_EQ(recvmsg(pair.b, &in.header, 0), 1);
    EXPECT_EQ(in.control[room], 0x77);
    check::report("room %zu: flags %#x, length %zu", room, in.header.msg_flags,
                  static_cast<size_t>(in.header.msg_controllen));
    EXPECT_EQ((in.header.msg_flags & MSG_CTRUNC) != 0, room < CMSG_SPACE(12) + CMSG_SPACE(4));
  }
  EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
  Message in(&byte, 1);
  EXPECT_EQ(recvmsg(pair.b, &in.header, 0), 1);
  EXPECT_EQ(in.header.msg_flags, MSG_CTRUNC);
}

TEST(bad_control) {
  Pair pair = udp_pair();
  Message out("x", 1);
  out.add_control(IPPROTO_IP, IP_TTL, 10);
  auto* cmsg = reinterpret_cast<cmsghdr*>(out.control);
  cmsg->cmsg_len = sizeof(cmsghdr) - 1;
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), EINVAL);
  cmsg->cmsg_len = 400;
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), EINVAL);
  cmsg->cmsg_len = CMSG_LEN(2);
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), EINVAL);
  cmsg->cmsg_len = CMSG_LEN(sizeof(int));
  cmsg->cmsg_type = 9999;
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), EINVAL);
  cmsg->cmsg_type = IP_TTL;
  int zero = 0;
  memcpy(CMSG_DATA(cmsg), &zero, sizeof zero);
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), EINVAL);
  cmsg->cmsg_level = 12345;  // not for IP: ignored
  EXPECT_EQ(sendmsg(pair.a, &out.header, 0), 1);
  out.header.msg_controllen = 4;  // no room for even one header: ignored
  EXPECT_EQ(sendmsg(pair.a, &out.header, 0), 1);
  out.header.msg_controllen = size_t{1} << 31;
  EXPECT_ERR(sendmsg(pair.a, &out.header, 0), ENOBUFS);
}

TEST(segments_in_one_call) {
  Pair pair = udp_pair();
  auto data = pattern(3500);
  Message out(data.data(), data.size());
  out.add_control(IPPROTO_UDP, UDP_SEGMENT, uint16_t{1000});
  EXPECT_EQ(sendmsg(pair.a, &out.header, 0), 3500);
  unsigned char got[2000];
  for (size_t at = 0; at < data.size(); at += 1000) {
    size_t size = std::min<size_t>(1000, data.size() - at);
    EXPECT_EQ(recv(pair.b, got, sizeof got, 0), size);
    EXPECT(is_pattern(got, size, at));
  }
}

TEST(zero_copy) {
  Pair pair = tcp_pair();
  EXPECT_EQ(set_option(pair.a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
  auto data = pattern(60000);
  std::vector<unsigned char> got(data.size());
  EXPECT_EQ(send(pair.a, data.data(), data.size(), MSG_ZEROCOPY), 60000);
  EXPECT_EQ(recv(pair.b, got.data(), got.size(), MSG_WAITALL), 60000);
  EXPECT(is_pattern(got.data(), got.size()));
  EXPECT_EQ(events_of(pair.a, 0, 5000), POLLERR);
  Message in(got.data(), 0);
  in.expect_control();
  EXPECT_EQ(recvmsg(pair.a, &in.header, MSG_ERRQUEUE), 0);
  EXPECT_EQ(in.header.msg_flags, MSG_ERRQUEUE);
  sock_extended_err notice = {};
  EXPECT(in.find_control(IPPROTO_IP, IP_RECVERR, &notice));
  EXPECT_EQ(notice.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
  EXPECT_EQ(notice.ee_info, 0);
  EXPECT_EQ(notice.ee_data, 0);
}

TEST(error_queue) {
  Pair pair = udp_pair();
  EXPECT_EQ(set_option(pair.a, IPPROTO_IP, IP_RECVERR, 1), 0);
  sockaddr_in to = name_of(pair.b);
  close(pair.b);
  EXPECT_EQ(send(pair.a, "lost", 4, 0), 4);
  EXPECT_EQ(events_of(pair.a, 0, 5000), POLLERR);
  char text[8] = {};
  Message in(text, sizeof text);
  in.header.msg_name = &in.name;
  in.header.msg_namelen = sizeof in.name;
  in.expect_control();
  EXPECT_EQ(recvmsg(pair.a, &in.header, MSG_ERRQUEUE), 4);
  EXPECT_TEXT(text, "lost");
  EXPECT(memcmp(&in.name, &to, 8) == 0);
  struct {
    sock_extended_err error;
    sockaddr_in offender;
  } notice = {};
  EXPECT(in.find_control(IPPROTO_IP, IP_RECVERR, &notice));
  EXPECT_EQ(notice.error.ee_errno, ECONNREFUSED);
  EXPECT_EQ(notice.error.ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(notice.offender.sin_addr.s_addr, to.sin_addr.s_addr);
}
