// SPDX-License-Identifier: Apache-2.0
//
// What must stay on the host and continue to work beside offloaded sockets: AF_UNIX, pipes, files,
// timers, event counters, signal descriptors.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <string>

#include "children.h"
#include "loopback.h"
#include "memory.h"

TEST(unix_sockets) {
  std::string directory = check::scratch();
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  snprintf(name.sun_path, sizeof name.sun_path, "%s/s", directory.c_str());
  int from = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(from, generic(&name), sizeof name));
  OK(listen(from, 4));
  int client = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(client, generic(&name), sizeof name), 0);
  int server = OK(accept4(from, nullptr, nullptr, SOCK_NONBLOCK));
  EXPECT(pair_works({client, server}));
  ucred peer = {};
  socklen_t length = sizeof peer;
  EXPECT_EQ(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
  EXPECT_EQ(peer.pid, getpid());
  EXPECT_EQ(unlink(name.sun_path), 0);
  EXPECT_EQ(rmdir(directory.c_str()), 0);
  int pair[2];
  for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    OK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
    EXPECT(pair_works({pair[0], pair[1]}));
    EXPECT_EQ(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
  }
  // The peer of an inherited pair is a process on the host.
  pid_t pid = child([&] { EXPECT_EQ(write(pair[1], "c", 1), 1); });
  char byte = 0;
  EXPECT_EQ(read(pair[0], &byte, 1), 1);
  EXPECT_EXIT(pid, 0);
}

TEST(files) {
  std::string directory = check::scratch(), path = directory + "/file";
  int fd = OK(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0640));
  auto data = pattern(100000);
  EXPECT_EQ(write(fd, data.data(), data.size()), data.size());
  struct stat info;
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 100000);
  void* map = mmap(nullptr, 100000, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT(map != MAP_FAILED && is_pattern(map, 100000));
  EXPECT_EQ(fsync(fd), 0);
  EXPECT_EQ(ftruncate(fd, 10), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 10);
  EXPECT_EQ(rename(path.c_str(), (path + "2").c_str()), 0);
  EXPECT_ERR(open(path.c_str(), O_RDONLY), ENOENT);
  EXPECT_EQ(chdir(directory.c_str()), 0);
  EXPECT_EQ(unlink("file2"), 0);
  EXPECT_EQ(rmdir(directory.c_str()), 0);
  EXPECT_EQ(fstat(fd, &info), 0);
  EXPECT_EQ(info.st_nlink, 0);
}

// Files beside the prefixes of the network are those of the host.
TEST(proc_files) {
  char text[64] = {};
  int fd = OK(open("/proc/self/comm", O_RDONLY));
  const std::string name = std::string(program_invocation_short_name) + "\n";
  EXPECT_EQ(read(fd, text, sizeof text), name.size());
  EXPECT_TEXT(text, name.c_str());
  std::string stat_path = "/proc/" + std::to_string(getpid()) + "/stat";
  FILE* file = fopen(stat_path.c_str(), "r");
  int pid = 0;
  EXPECT(file && fscanf(file, "%d", &pid) == 1);
  EXPECT_EQ(pid, getpid());
  EXPECT_EQ(access("/proc/netx", F_OK), -1);
  EXPECT_EQ(access("/proc/sys/netx/ipv4", F_OK), -1);
  EXPECT_EQ(access("/proc/sys/kernel/ostype", R_OK), 0);
}

TEST(event_descriptors) {
  Pair pair = tcp_pair();
  int ep = OK(epoll_create1(0));
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, &usr1, nullptr));
  int signals = OK(signalfd(-1, &usr1, SFD_NONBLOCK));
  int timer = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  int counter = OK(eventfd(3, EFD_SEMAPHORE));
  int watch = OK(inotify_init1(IN_NONBLOCK));
  for (int fd : {signals, timer, watch, pair.b}) {
    epoll_event event = {EPOLLIN, {.fd = fd}};
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
  }
  epoll_event event;
  EXPECT_EQ(epoll_wait(ep, &event, 1, 0), 0);
  raise(SIGUSR1);
  EXPECT_EQ(epoll_wait(ep, &event, 1, 1000), 1);
  EXPECT_EQ(event.data.fd, signals);
  signalfd_siginfo info = {};
  EXPECT_EQ(read(signals, &info, sizeof info), sizeof info);
  EXPECT_EQ(info.ssi_signo, SIGUSR1);
  itimerspec soon = {{0, 0}, {0, 1000000}};
  OK(timerfd_settime(timer, 0, &soon, nullptr));
  EXPECT_EQ(epoll_wait(ep, &event, 1, 1000), 1);
  EXPECT_EQ(event.data.fd, timer);
  uint64_t value = 0;
  EXPECT_EQ(read(timer, &value, 8), 8);
  std::string directory = check::scratch();
  OK(inotify_add_watch(watch, directory.c_str(), IN_CREATE));
  OK(mkdir((directory + "/x").c_str(), 0700));
  EXPECT_EQ(epoll_wait(ep, &event, 1, 1000), 1);
  EXPECT_EQ(event.data.fd, watch);
  rmdir((directory + "/x").c_str());
  rmdir(directory.c_str());
  for (int i = 0; i < 3; i++) EXPECT_EQ(read(counter, &value, 8), 8);
  EXPECT_EQ(events_of(counter, POLLIN, 0), 0);
}

TEST(pipes) {
  Pair pair = tcp_pair();
  int ends[2];
  OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
  char bytes[65536] = {};
  size_t filled = 0;
  for (ssize_t n; (n = write(ends[1], bytes, sizeof bytes)) > 0;) filled += static_cast<size_t>(n);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(filled, 65536);
  EXPECT_EQ(read(ends[0], bytes, sizeof bytes), 65536);
  EXPECT_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
  close(ends[0]);
  on_signal(SIGPIPE, count_signal);
  EXPECT_ERR(write(ends[1], "x", 1), EPIPE);
  EXPECT_EQ(handled, 1);
  EXPECT(pair_works(pair));
}

TEST(memory_files) {
  int fd = OK(memfd_create("own", MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd, 4096), 0);
  EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
  EXPECT_ERR(ftruncate(fd, 0), EPERM);
  Pair pair = tcp_pair();
  EXPECT_EQ(dup2(fd, pair.a), pair.a);
  EXPECT_EQ(fcntl(pair.a, F_GET_SEALS), F_SEAL_SHRINK);
}
