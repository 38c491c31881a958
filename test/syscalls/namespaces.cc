// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces: into a new one and back, into that of another process, and what names and
// descriptors of them say.

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <string>

#include "check.h"
#include "children.h"

namespace {

// In a new network namespace lo is down.
bool is_new() {
  const int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  OK(ioctl(fd, SIOCGIFFLAGS, &request));
  close(fd);
  return (request.ifr_flags & IFF_UP) == 0;
}

std::string link_of(const std::string& path) {
  char target[64];
  const ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "" : std::string(target, static_cast<size_t>(n));
}

std::string name(pid_t pid) {
  return "/proc/" + std::to_string(pid) + "/ns/net";
}

struct stat status(const std::string& path) {
  struct stat result{};
  OK(stat(path.c_str(), &result));
  return result;
}

int open_network(const std::string& path = "/proc/self/ns/net") {
  return OK(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// A child in a new network namespace, which lives until its pipe is closed.
struct Elsewhere {
  int gate[2], ready[2];
  pid_t pid;

  explicit Elsewhere(bool moves = true) {
    OK(pipe(gate));
    OK(pipe(ready));
    pid = child([&] {
      if (moves) OK(unshare(CLONE_NEWNET));
      EXPECT_EQ(is_new(), moves);
      EXPECT_EQ(write(ready[1], "x", 1), 1);
      close(gate[1]);
      char byte;
      EXPECT_EQ(read(gate[0], &byte, 1), 0);
    });
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
  }
  void end() {
    close(gate[1]);
    EXPECT_EXIT(pid, 0);
  }
};

}  // namespace

TEST(there_and_back) {
  for (const char* path : {"/proc/self/ns/net", "/proc/thread-self/ns/net"}) {
    const int home = open_network(path);
    const std::string before = link_of(path);
    EXPECT(!is_new());
    OK(unshare(CLONE_NEWNET));
    EXPECT(is_new());
    EXPECT(link_of(path) != before);
    const int there = open_network(path);
    EXPECT_EQ(setns(home, CLONE_NEWNET), 0);
    EXPECT(!is_new());
    EXPECT(link_of(path) == before);
    EXPECT_EQ(setns(there, 0), 0);
    EXPECT(is_new());
    EXPECT_EQ(setns(home, 0), 0);
    EXPECT(!is_new());
    EXPECT_ERR(setns(home, CLONE_NEWUTS), EINVAL);
    close(home);
    close(there);
  }
}

TEST(names) {
  const std::string own = link_of("/proc/self/ns/net");
  EXPECT_EQ(own.compare(0, 5, "net:["), 0);
  EXPECT(link_of(name(getpid())) == own);
  EXPECT(link_of("/proc/thread-self/ns/net") == own);
  const std::string task = "/proc/self/task/" + std::to_string(getpid()) + "/ns/net";
  EXPECT(link_of(task) == own);
  const int fd = open_network();
  struct stat by_fd{};
  OK(fstat(fd, &by_fd));
  EXPECT_EQ(status("/proc/self/ns/net").st_ino, by_fd.st_ino);
  EXPECT("net:[" + std::to_string(by_fd.st_ino) + "]" == own);
  EXPECT(link_of("/proc/self/fd/" + std::to_string(fd)) == own);
  EXPECT_EQ(status("/proc/self/fd/" + std::to_string(fd)).st_ino, by_fd.st_ino);
  const int directory = OK(open("/proc/self/ns", O_PATH | O_DIRECTORY));
  const int process = OK(open(("/proc/" + std::to_string(getpid())).c_str(), O_RDONLY));
  struct stat at{};
  OK(fstatat(directory, "net", &at, 0));
  EXPECT_EQ(at.st_ino, by_fd.st_ino);
  OK(fstatat(process, "ns/net", &at, 0));
  EXPECT_EQ(at.st_ino, by_fd.st_ino);
  EXPECT_EQ(at.st_dev, by_fd.st_dev);
  EXPECT_ERR(open("/proc/self/ns/net/", O_RDONLY), ENOTDIR);
  EXPECT_ERR(open("/proc/999999999/ns/net", O_RDONLY), ENOENT);
}

TEST(requests) {
  const int fd = open_network();
  EXPECT_EQ(ioctl(fd, NS_GET_NSTYPE), CLONE_NEWNET);
  const int users = ioctl(fd, NS_GET_USERNS);
  EXPECT(users >= 0);
  EXPECT_EQ(fcntl(users, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ioctl(users, NS_GET_NSTYPE), CLONE_NEWUSER);
  EXPECT_ERR(ioctl(fd, NS_GET_PARENT), EINVAL);
  struct stat one{}, other{};
  OK(fstat(fd, &one));
  const int udp = OK(socket(AF_INET, SOCK_DGRAM, 0));
  const int of_socket = ioctl(udp, SIOCGSKNS);
  EXPECT(of_socket >= 0);
  EXPECT_EQ(fstat(of_socket, &other), 0);
  EXPECT_EQ(one.st_ino, other.st_ino);
}

TEST(of_another_process) {
  Elsewhere there;
  const int home = open_network();
  EXPECT(link_of(name(there.pid)) != link_of("/proc/self/ns/net"));
  const int fd = open_network(name(there.pid));
  EXPECT(!is_new());
  EXPECT_EQ(setns(fd, CLONE_NEWNET), 0);
  EXPECT(is_new());
  EXPECT(link_of(name(there.pid)) == link_of("/proc/self/ns/net"));
  there.end();
  EXPECT(is_new());
  EXPECT_EQ(setns(home, CLONE_NEWNET), 0);
  EXPECT(!is_new());
}

TEST(of_a_process_without_sockets) {
  int gate[2];
  OK(pipe(gate));
  const pid_t idle = child([&] {
    close(gate[1]);
    char byte;
    EXPECT_EQ(read(gate[0], &byte, 1), 0);
  });
  const std::string before = link_of("/proc/self/ns/net");
  EXPECT(link_of(name(idle)) == before);
  OK(unshare(CLONE_NEWNET));
  EXPECT(is_new());
  EXPECT(link_of(name(idle)) == before);
  EXPECT_EQ(setns(open_network(name(idle)), CLONE_NEWNET), 0);
  EXPECT(!is_new());
  close(gate[1]);
  EXPECT_EXIT(idle, 0);
}

TEST(by_pidfd) {
  Elsewhere there, here(false);
  const int to = OK(static_cast<int>(syscall(SYS_pidfd_open, there.pid, 0)));
  const int back = OK(static_cast<int>(syscall(SYS_pidfd_open, here.pid, 0)));
  EXPECT_EQ(setns(to, CLONE_NEWNET), 0);
  EXPECT(is_new());
  EXPECT_EQ(setns(back, CLONE_NEWNET | CLONE_NEWUTS), 0);
  EXPECT(!is_new());
  EXPECT_ERR(setns(to, 0), EINVAL);
  here.end();  // has the other's pipe too
  there.end();
  EXPECT_ERR(setns(to, CLONE_NEWNET), ESRCH);
}
