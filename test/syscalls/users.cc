// SPDX-License-Identifier: Apache-2.0
//
// User namespaces: what a process may do to sockets and to the network after it has made one, and
// to a network namespace that it makes there. Each test runs in a process of its own.

#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <memory>

#include "children.h"
#include "loopback.h"

namespace {

constexpr uid_t kUser = 61237;

int raw_socket() {
  return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

int bind_to(uint16_t port) {
  const int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address = loopback(htons(port));
  const int result = bind(fd, generic(&address), sizeof address);
  const int error = errno;
  close(fd);
  errno = error;
  return result;
}

void expect_no_privileges(int udp) {
  const int bytes = 1 << 20;
  EXPECT_ERR(setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes), EPERM);
  EXPECT_ERR(raw_socket(), EPERM);
  EXPECT_ERR(bind_to(81), EACCES);
  ifreq lo{};
  strcpy(lo.ifr_name, "lo");
  lo.ifr_flags = IFF_UP;
  EXPECT_ERR(ioctl(udp, SIOCSIFFLAGS, &lo), EPERM);
  // What needs none still works.
  EXPECT_EQ(option(udp, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  close(OK(socket(AF_INET, SOCK_STREAM, 0)));
}

void expect_own_network() {
  const int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  ifreq lo{};
  strcpy(lo.ifr_name, "lo");
  EXPECT_EQ(ioctl(udp, SIOCGIFFLAGS, &lo), 0);
  EXPECT_EQ(lo.ifr_flags & IFF_UP, 0);
  lo.ifr_flags = IFF_UP;
  EXPECT_EQ(ioctl(udp, SIOCSIFFLAGS, &lo), 0);
  const int raw = OK(raw_socket());
  EXPECT_EQ(bind_to(81), 0);
  const int bytes = 1 << 20;
  // The network belongs to the namespace; the machine's memory does not.
  EXPECT_EQ(setsockopt(udp, SOL_SOCKET, SO_MARK, &bytes, sizeof bytes), 0);
  const Pair pair = tcp_pair();
  EXPECT_EQ(send(pair.a, "x", 1, 0), 1);
  char byte;
  EXPECT_EQ(recv(pair.b, &byte, 1, 0), 1);
  close(raw);
}

void expect_own_raw() {
  const int raw = OK(raw_socket());
  EXPECT_EQ(bind_to(82), 0);
  close(raw);
}

void become_a_user() {
  OK(setgroups(0, nullptr));
  OK(setgid(kUser));
  OK(setuid(kUser));
  OK(prctl(PR_SET_DUMPABLE, 1));  // /proc/self is the user's again
}

void put(const char* path, const char* text) {
  const int fd = OK(open(path, O_WRONLY));
  const auto bytes = static_cast<ssize_t>(strlen(text));
  EXPECT_EQ(write(fd, text, strlen(text)), bytes);
  close(fd);
}

// The user is root there.
void map_root() {
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 61237 1");
  put("/proc/self/gid_map", "0 61237 1");
}

template <class Body>
pid_t child_with(unsigned long flags, Body body) {
  static char stack[256 << 10];
  auto* run = new Body(body);
  return OK(clone(
      [](void* argument) {
        const std::unique_ptr<Body> own(static_cast<Body*>(argument));
        check::failures = 0;
        (*own)();
        return check::failures ? 1 : 0;
      },
      stack + sizeof stack, static_cast<int>(flags | SIGCHLD), run));
}

}  // namespace

HELPER(has_a_network) {
  expect_own_network();
  return check::failures ? 1 : 0;
}

TEST(privileges_left_behind) {
  const int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  const int bytes = 1 << 20;
  EXPECT_EQ(setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes), 0);
  std::thread([&] { EXPECT_EQ(option(udp, SOL_SOCKET, SO_TYPE), SOCK_DGRAM); }).join();
  OK(unshare(CLONE_NEWUSER));
  expect_no_privileges(udp);
  std::thread([&] { expect_no_privileges(udp); }).join();
  std::thread([&] { std::thread([&] { expect_no_privileges(udp); }).join(); }).join();
  EXPECT_EXIT(child([&] { expect_no_privileges(udp); }), 0);
}

TEST(privileges_left_behind_before_the_first_socket) {
  OK(unshare(CLONE_NEWUSER));
  expect_no_privileges(OK(socket(AF_INET, SOCK_DGRAM, 0)));
}

TEST(privileges_left_behind_by_a_child) {
  const int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EXIT(child_with(CLONE_NEWUSER, [&] { expect_no_privileges(udp); }), 0);
  close(OK(raw_socket()));  // the parent has kept its own
}

TEST(privileges_of_a_user_with_a_network) {
  close(OK(socket(AF_INET, SOCK_DGRAM, 0)));
  become_a_user();
  EXPECT_ERR(raw_socket(), EPERM);
  EXPECT_ERR(unshare(CLONE_NEWNET), EPERM);
  OK(unshare(CLONE_NEWUSER | CLONE_NEWNET));
  expect_own_network();
  std::thread(expect_own_raw).join();
  EXPECT_EXIT(child([] { expect_own_raw(); }), 0);
}

TEST(network_of_a_user_in_two_steps) {
  become_a_user();
  OK(unshare(CLONE_NEWUSER));
  EXPECT_ERR(raw_socket(), EPERM);
  OK(unshare(CLONE_NEWNET));
  expect_own_network();
}

TEST(network_of_a_user_that_is_root_there) {
  become_a_user();
  OK(unshare(CLONE_NEWUSER | CLONE_NEWNET));
  map_root();
  EXPECT_EQ(getuid(), uid_t{0});
  OK(setuid(0));
  char name[] = "users", helper[] = "@has_a_network", *argv[] = {name, helper, nullptr};
  EXPECT_EXIT(child([&] { execv("/proc/self/exe", argv); }), 0);
}
