// SPDX-License-Identifier: Apache-2.0
//
// /dev/net/tun: its interfaces are where the sockets are, and packets go in and out by the file.

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <string>

#include "loopback.h"
#include "memory.h"

namespace {

constexpr uint16_t kProtocol = ETH_P_802_EX1;  // for experiments

struct Tap {
  int fd = -1;
  std::string name;
};

int open_tun() {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  EXPECT(fd >= 0);
  return fd;
}

// The kernel completes the name: others make such interfaces at the same time.
Tap make_tap(const std::string& name = "minotap%d") {
  Tap tap{open_tun(), ""};
  ifreq request = {};
  strcpy(request.ifr_name, name.c_str());
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  EXPECT_EQ(ioctl(tap.fd, TUNSETIFF, &request), 0);
  tap.name = request.ifr_name;
  EXPECT(tap.name.starts_with("minotap"));
  return tap;
}

void set_up(const Tap& tap) {
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  strcpy(request.ifr_name, tap.name.c_str());
  EXPECT_EQ(ioctl(s, SIOCGIFFLAGS, &request), 0);
  request.ifr_flags |= IFF_UP;
  EXPECT_EQ(ioctl(s, SIOCSIFFLAGS, &request), 0);
  close(s);
}

int packet_socket(const Tap& tap) {
  const int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kProtocol));
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(kProtocol);
  address.sll_ifindex = static_cast<int>(if_nametoindex(tap.name.c_str()));
  EXPECT_EQ(bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return s;
}

std::string frame(const std::string& text) {
  ethhdr head = {{255, 255, 255, 255, 255, 255}, {2, 0, 0, 0, 0, 1}, htons(kProtocol)};
  std::string bytes(reinterpret_cast<char*>(&head), sizeof head);
  return bytes + text + std::string(60, '.');
}

// The next frame of this test: the kernel has things of its own to say on a new interface.
std::string next_frame(const Tap& tap) {
  char data[2000];
  for (;;) {
    const ssize_t n = read(tap.fd, data, sizeof data);
    if (n < static_cast<ssize_t>(sizeof(ethhdr))) return "";
    if (reinterpret_cast<ethhdr*>(data)->h_proto == htons(kProtocol))
      return std::string(data, static_cast<size_t>(n));
  }
}

}  // namespace

TEST(interface_is_where_the_sockets_are) {
  const Tap tap = make_tap();
  EXPECT(if_nametoindex(tap.name.c_str()) > 0);
  EXPECT_EQ(access(("/sys/class/net/" + tap.name + "/mtu").c_str(), R_OK), 0);
  ifreq request = {};
  EXPECT_EQ(ioctl(tap.fd, TUNGETIFF, &request), 0);
  EXPECT(tap.name == request.ifr_name);
  EXPECT_EQ(request.ifr_flags & (IFF_TAP | IFF_NO_PI), IFF_TAP | IFF_NO_PI);
  memset(&request, 0, sizeof request);
  EXPECT_EQ(ioctl(tap.fd, SIOCGIFHWADDR, &request), 0);
  EXPECT_EQ(close(tap.fd), 0);
  EXPECT_EQ(if_nametoindex(tap.name.c_str()), 0u);
}

TEST(frames_in_and_out) {
  const Tap tap = make_tap();
  set_up(tap);
  const int s = packet_socket(tap);
  const std::string in = frame("in"), out = frame("out");
  EXPECT_EQ(write(tap.fd, in.data(), in.size()), static_cast<ssize_t>(in.size()));
  char data[2000];
  EXPECT_EQ(recv(s, data, sizeof data, 0), static_cast<ssize_t>(in.size()));
  EXPECT(std::string(data, in.size()) == in);
  EXPECT_EQ(send(s, out.data(), out.size(), 0), static_cast<ssize_t>(out.size()));
  EXPECT(next_frame(tap) == out);
  close(s);
  close(tap.fd);
}

TEST(settings) {
  const int tun = open_tun();
  unsigned features = 0;
  EXPECT_EQ(ioctl(tun, TUNGETFEATURES, &features), 0);
  EXPECT_EQ(features & (IFF_TUN | IFF_TAP | IFF_VNET_HDR), 0u + IFF_TUN + IFF_TAP + IFF_VNET_HDR);
  close(tun);
  const Tap tap = make_tap();
  int value = 100000, bytes = 0;
  EXPECT_EQ(ioctl(tap.fd, TUNSETSNDBUF, &value), 0);
  EXPECT_EQ(ioctl(tap.fd, TUNGETSNDBUF, &bytes), 0);
  EXPECT_EQ(bytes, 100000);
  EXPECT_EQ(ioctl(tap.fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4), 0);
  EXPECT_EQ(ioctl(tap.fd, TUNSETOFFLOAD, 0), 0);
  EXPECT_ERR(ioctl(tap.fd, TUNSETOFFLOAD, 1 << 30), EINVAL);
  EXPECT_EQ(ioctl(tap.fd, TUNSETOWNER, 12345), 0);
  const struct {  // tun_filter
    uint16_t flags, count;
    unsigned char address[2][ETH_ALEN];
  } filter = {0, 2, {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}}};
  EXPECT_EQ(ioctl(tap.fd, TUNSETTXFILTER, &filter), 2);
  close(tap.fd);
}

TEST(filter_program) {
  const Tap tap = make_tap();
  set_up(tap);
  const int s = packet_socket(tap);
  // Frames of 100 bytes and more go out, no others.
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                           BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 100, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, 0xffff), BPF_STMT(BPF_RET | BPF_K, 0)};
  sock_fprog attached = {4, program};
  EXPECT_EQ(ioctl(tap.fd, TUNATTACHFILTER, &attached), 0);
  const std::string small = frame("small"), large = frame(std::string(100, 'x'));
  EXPECT_EQ(send(s, small.data(), small.size(), 0), static_cast<ssize_t>(small.size()));
  EXPECT_EQ(send(s, large.data(), large.size(), 0), static_cast<ssize_t>(large.size()));
  EXPECT(next_frame(tap) == large);
  EXPECT_EQ(ioctl(tap.fd, TUNDETACHFILTER, &attached), 0);
  EXPECT_EQ(send(s, small.data(), small.size(), 0), static_cast<ssize_t>(small.size()));
  EXPECT(next_frame(tap) == small);
  close(s);
  close(tap.fd);
}

TEST(persistent) {
  Tap tap = make_tap();
  EXPECT_EQ(ioctl(tap.fd, TUNSETPERSIST, 1), 0);
  close(tap.fd);
  EXPECT(if_nametoindex(tap.name.c_str()) > 0);
  tap = make_tap(tap.name);
  EXPECT_EQ(ioctl(tap.fd, TUNSETPERSIST, 0), 0);
  close(tap.fd);
  EXPECT_EQ(if_nametoindex(tap.name.c_str()), 0u);
}

TEST(refused) {
  const int tun = open_tun();
  char byte;
  ifreq request = {};
  EXPECT_ERR(read(tun, &byte, 1), EBADFD);
  EXPECT_ERR(ioctl(tun, TUNSETIFF, nullptr), EFAULT);
  EXPECT_ERR(ioctl(tun, TUNSETIFF, &request), EINVAL);
  EXPECT_ERR(ioctl(tun, TUNGETIFF, &request), EBADFD);
  EXPECT_ERR(ioctl(tun, TUNSETPERSIST, 1), EBADFD);
  close(tun);
}
