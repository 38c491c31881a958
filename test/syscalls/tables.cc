// SPDX-License-Identifier: Apache-2.0
//
// Descriptor tables that threads leave and that processes share: clone(CLONE_FILES),
// unshare(CLONE_FILES) and CLOSE_RANGE_UNSHARE, with all that threads and processes do.

#include <linux/close_range.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <vector>

#include "children.h"
#include "loopback.h"

namespace {

// A process that shares the descriptor table, and whatever else the flags say.
template <class Body>
pid_t sharing_child(int flags, Body& body) {
  static char stack[262144];
  auto run = [](void* argument) {
    const int before = check::failures;
    (*static_cast<Body*>(argument))();
    return check::failures > before ? 1 : 0;
  };
  return OK(clone(run, stack + sizeof stack, CLONE_FILES | SIGCHLD | flags, &body));
}

constexpr int kWithoutAndWithMemory[] = {0, CLONE_VM};

}  // namespace

// The same numbers mean other files until the thread ends, and its own files go with it.
TEST(own_table_beside_the_others) {
  Pair pair = tcp_pair(), second = tcp_pair();
  std::thread([&] {
    OK(unshare(CLONE_FILES));
    EXPECT_EQ(dup2(second.a, pair.a), pair.a);
    EXPECT(pair_works({pair.a, second.b}));
    std::thread([&] { EXPECT(pair_works({pair.a, second.b})); }).join();  // made later: this table
    Pair mine = tcp_pair();
    std::thread([&] { EXPECT_EQ(close(mine.b), 0); }).join();
    char byte;
    EXPECT_EQ(read(mine.a, &byte, 1), 0);
    EXPECT_EQ(close(second.a), 0);
    EXPECT_EQ(close(pair.b), 0);
    EXPECT_EQ(fcntl(0, F_DUPFD, pair.b), pair.b);
  }).join();
  EXPECT(pair_works(second));
  close_pair(second);
  close_pair(pair);
}

// A network namespace belongs to its process alone, whoever shares the table with it.
TEST(network_of_one_process) {
  const auto links = [] {
    struct if_nameindex* names = if_nameindex();
    int count = 0;
    while (names && names[count].if_index) count++;
    if_freenameindex(names);
    return count;
  };
  const int before = links();
  int done[2], go_on[2];
  OK(pipe(done));
  OK(pipe(go_on));
  auto body = [&] {
    char byte = 0;
    links();  // by the device, before
    OK(unshare(CLONE_NEWNET));
    const int mine = links();
    std::thread([&] { EXPECT_EQ(links(), mine); }).join();
    EXPECT_EQ(write(done[1], "d", 1), 1);
    EXPECT_EQ(read(go_on[0], &byte, 1), 1);
  };
  const pid_t pid = sharing_child(0, body);
  char byte = 0;
  EXPECT_EQ(read(done[0], &byte, 1), 1);
  EXPECT_EQ(links(), before);
  std::thread([&] { EXPECT_EQ(links(), before); }).join();
  EXPECT_EQ(write(go_on[1], "g", 1), 1);
  EXPECT_EXIT(pid, 0);
}

// New threads are in the network namespace of their maker, even where others have been before.
TEST(network_of_later_threads) {
  const auto loopback_is_up = [] {
    ifreq lo{};
    strcpy(lo.ifr_name, "lo");
    int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(ioctl(fd, SIOCGIFFLAGS, &lo));
    close(fd);
    return (lo.ifr_flags & IFF_UP) != 0;
  };
  const pid_t pid = child([&] {
    EXPECT(loopback_is_up());
    std::thread([&] { EXPECT(loopback_is_up()); }).join();
    OK(unshare(CLONE_NEWNET));
    const bool mine = loopback_is_up();
    for (int i = 0; i < 2; i++) std::thread([&] { EXPECT_EQ(loopback_is_up(), mine); }).join();
  });
  EXPECT_EXIT(pid, 0);
}

// A file that one thread opens while another shares the table for the first time is in the table.
TEST(files_opened_while_the_table_is_shared) {
  constexpr size_t kFiles = 1000;
  rlimit files;
  OK(getrlimit(RLIMIT_NOFILE, &files));
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8000);
  OK(setrlimit(RLIMIT_NOFILE, &files));
  for (int round = 0; round < 30; round++) {
    const pid_t pid = child([&] {
      const int first = OK(socket(AF_INET, SOCK_DGRAM, 0));
      OK(dup2(first, static_cast<int>(files.rlim_cur) - 1));  // a large table takes a moment
      std::vector<int> opened;
      opened.reserve(kFiles);
      std::atomic<size_t> count = 0;
      std::atomic<bool> stop = false;
      std::thread opener([&] {
        for (; !stop && count < kFiles; count++)
          opened.push_back(OK(socket(AF_INET, SOCK_DGRAM, 0)));
      });
      while (count < 20) sched_yield();
      auto body = [] {};
      EXPECT_EXIT(sharing_child(0, body), 0);
      stop = true;
      opener.join();
      for (const int fd : opened) EXPECT_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(thread_made_with_its_own_table) {
  static char stack[262144];
  static std::atomic<int> tid, result;
  Pair pair = tcp_pair();
  auto body = [](void* argument) {
    const Pair& theirs = *static_cast<Pair*>(argument);
    result = close(theirs.a) == 0 && pair_works(tcp_pair()) ? 1 : 2;
    return 0;
  };
  for (int i = 0; i < 10; i++) {
    result = 0;
    tid = 1;
    OK(clone(
        body, stack + sizeof stack,
        CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
        &pair, nullptr, nullptr, &tid));
    while (tid != 0) sleep_ms(1);
    EXPECT_EQ(result, 1);
  }
  EXPECT(pair_works(pair));
}

TEST(close_in_own_table_by_range) {
  Pair pair = tcp_pair();
  int set = OK(epoll_create1(0));
  epoll_event event = {EPOLLIN, {.fd = pair.a}};
  OK(epoll_ctl(set, EPOLL_CTL_ADD, pair.a, &event));
  std::thread([&] {
    OK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_UNSHARE));
    EXPECT_ERR(write(pair.a, "x", 1), EBADF);
    Pair mine = tcp_pair();
    EXPECT_EQ(mine.a, 4);
    EXPECT(pair_works(mine));
  }).join();
  EXPECT(pair_works(pair));
  EXPECT_EQ(write(pair.b, "x", 1), 1);
  epoll_event ready = {};
  EXPECT_EQ(epoll_wait(set, &ready, 1, 5000), 1);
  EXPECT_EQ(ready.data.fd, pair.a);
}

TEST(files_of_own_table_end_with_it) {
  Pair pair = tcp_pair();
  std::atomic<bool> split{false}, closed{false};
  std::thread thread([&] {
    OK(unshare(CLONE_FILES));
    split = true;
    char byte = 0;
    EXPECT_EQ(read(pair.a, &byte, 1), 1);  // ours is open when the other has been closed
    EXPECT(closed);
    EXPECT_EQ(write(pair.a, "t", 1), 1);
  });
  while (!split) sleep_ms(1);
  closed = true;
  EXPECT_EQ(close(pair.a), 0);
  EXPECT_EQ(write(pair.b, "o", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(pair.b, &byte, 1), 1);
  EXPECT_EQ(byte, 't');
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
  thread.join();
}

TEST(children_of_own_table) {
  Pair pair = tcp_pair(), second = tcp_pair();
  std::thread([&] {
    OK(unshare(CLONE_FILES));
    EXPECT_EQ(dup2(second.a, pair.a), pair.a);
    EXPECT_EQ(close(second.b), 0);
    pid_t pid = child([&] {
      EXPECT_EQ(write(pair.a, "c", 1), 1);
      char byte;
      EXPECT_ERR(read(second.b, &byte, 1), EBADF);
      EXPECT(pair_works(tcp_pair()));
    });
    EXPECT_EXIT(pid, 0);
  }).join();
  char byte = 0;
  EXPECT_EQ(read(second.b, &byte, 1), 1);
  EXPECT_EQ(byte, 'c');
  EXPECT(pair_works(pair));
}

// Threads go on sharing everything else that they share.
TEST(own_table_and_no_more) {
  on_signal(SIGUSR2, SIG_IGN);
  OK(chdir("/"));
  handled = 0;
  std::thread([&] {
    OK(unshare(CLONE_FILES));
    OK(chdir("/proc"));
    on_signal(SIGUSR2, count_signal);
    close_pair(tcp_pair());
  }).join();
  OK(raise(SIGUSR2));
  EXPECT_EQ(handled, 1);
  close(OK(open("net/tcp", O_RDONLY)));
  OK(chdir("/"));
}

TEST(alone_with_its_table) {
  pid_t pid = child([] {
    Pair pair = tcp_pair();
    OK(unshare(CLONE_FILES));
    EXPECT(pair_works(pair));
    EXPECT_EQ(close(pair.a), 0);
    EXPECT_ERR(unshare(CLONE_FILES | 0x3), EINVAL);
    EXPECT(pair_works(tcp_pair()));
  });
  EXPECT_EXIT(pid, 0);
}

// What unshare refuses, it refuses whole: a table stays shared.
TEST(refused_with_a_shared_table) {
  on_signal(SIGUSR1, count_signal);
  const int fd = OK(dup(tcp_pair().a));
  std::thread([&] {
    EXPECT_ERR(unshare(CLONE_FILES | 0x3), EINVAL);
    EXPECT_ERR(unshare(-1), EINVAL);
    EXPECT_ERR(unshare(CLONE_FILES | CLONE_VM | CLONE_SIGHAND), EINVAL);
    EXPECT_ERR(unshare(CLONE_FILES | CLONE_NEWUSER), EINVAL);  // not with threads
    EXPECT_EQ(close(fd), 0);
  }).join();
  EXPECT_ERR(fcntl(fd, F_GETFD), EBADF);
  EXPECT(pair_works(tcp_pair()));
  // And what it needs privileges for.
  pid_t pid = child([] {
    const int held = OK(dup(tcp_pair().a));
    OK(setresuid(65534, 65534, 65534));
    std::thread([&] {
      EXPECT_ERR(unshare(CLONE_FILES | CLONE_NEWUTS), EPERM);
      EXPECT_EQ(close(held), 0);
    }).join();
    EXPECT_ERR(fcntl(held, F_GETFD), EBADF);
  });
  EXPECT_EXIT(pid, 0);
}

TEST(many_own_tables) {
  Pair pair = udp_pair();
  for (int i = 0; i < 200; i++) {
    std::thread([&] {
      OK(unshare(CLONE_FILES));
      EXPECT_EQ(write(pair.a, &i, sizeof i), sizeof i);
    }).join();
    int got = -1;
    EXPECT_EQ(read(pair.b, &got, sizeof got), sizeof got);
    EXPECT_EQ(got, i);
  }
}

TEST(descriptors_shared_both_ways) {
  for (int memory : kWithoutAndWithMemory) {
    const int lowest = OK(dup(0));
    EXPECT_EQ(close(lowest), 0);
    Pair talk = tcp_pair();
    auto in_child = [&] {
      int theirs = -1, mine = -1;
      EXPECT_EQ(read(talk.b, &theirs, sizeof theirs), sizeof theirs);
      EXPECT_EQ(option(theirs, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
      EXPECT_EQ(close(theirs), 0);
      mine = OK(socket(AF_INET, SOCK_STREAM, 0));
      EXPECT_EQ(mine, theirs);
      int set = OK(epoll_create1(0));
      epoll_event event = {EPOLLIN, {.fd = talk.b}};
      OK(epoll_ctl(set, EPOLL_CTL_ADD, talk.b, &event));
      EXPECT_EQ(write(talk.b, &set, sizeof set), sizeof set);
      EXPECT_EQ(epoll_wait(set, &event, 1, 5000), 1);
      char byte = 0;
      EXPECT_EQ(read(talk.b, &byte, 1), 1);
      EXPECT_ERR(read(mine, &byte, 1), EBADF);
    };
    pid_t pid = sharing_child(memory, in_child);
    int datagram = OK(socket(AF_INET, SOCK_DGRAM, 0)), set = -1;
    EXPECT_EQ(write(talk.a, &datagram, sizeof datagram), sizeof datagram);
    EXPECT_EQ(read(talk.a, &set, sizeof set), sizeof set);
    EXPECT_EQ(option(datagram, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    EXPECT_EQ(close(datagram), 0);
    EXPECT_EQ(write(talk.a, "w", 1), 1);
    EXPECT_EXIT(pid, 0);
    epoll_event event = {};
    EXPECT_EQ(epoll_wait(set, &event, 1, 0), 0);
    EXPECT_EQ(write(talk.a, "w", 1), 1);
    EXPECT_EQ(epoll_wait(set, &event, 1, 5000), 1);
    EXPECT_EQ(event.data.fd, talk.b);
    EXPECT_EQ(close(set), 0);
    close_pair(talk);
    EXPECT_EQ(dup(0), lowest);  // nothing is left open
    EXPECT_EQ(close(lowest), 0);
  }
}

TEST(shared_descriptors_and_exec) {
  for (int memory : {0, CLONE_VM | CLONE_VFORK, CLONE_VFORK}) {
    Pair pair = tcp_pair(SOCK_CLOEXEC);
    auto in_child = [] {
      const char* missing[] = {"/nonexistent/program", nullptr};
      EXPECT_ERR(execv(missing[0], const_cast<char**>(missing)), ENOENT);
      close(1);
      int made = OK(socket(AF_INET, SOCK_DGRAM, 0));
      EXPECT_EQ(made, 1);  // of both, still
      execl("/bin/sh", "sh", "-c", "exec 1>&-; read line < /proc/net/sockstat", nullptr);
      _exit(127);
    };
    int out = OK(dup(1));
    pid_t pid = sharing_child(memory, in_child);
    EXPECT_EXIT(pid, 0);
    EXPECT_EQ(option(1, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    EXPECT_EQ(dup2(out, 1), 1);
    close(out);
    EXPECT(pair_works(pair));  // they were closed on exec in the child's copy
    close_pair(pair);
  }
}

TEST(shared_descriptors_left_by_unshare) {
  for (int memory : kWithoutAndWithMemory) {
    Pair pair = tcp_pair();
    auto in_child = [&] {
      OK(unshare(CLONE_FILES));
      EXPECT_EQ(close(pair.a), 0);
      EXPECT(pair_works(tcp_pair()));
    };
    pid_t pid = sharing_child(memory, in_child);
    EXPECT_EXIT(pid, 0);
    EXPECT(pair_works(pair));
    close_pair(pair);
  }
}

TEST(shared_descriptors_and_fork) {
  for (int memory : kWithoutAndWithMemory) {
    Pair pair = tcp_pair();
    auto in_child = [&] {
      pid_t grandchild = child([&] {
        EXPECT_EQ(close(pair.a), 0);
        echo_once(pair.b);
      });
      EXPECT(echoes(pair.a));
      EXPECT_EXIT(grandchild, 0);
    };
    pid_t pid = sharing_child(memory, in_child);
    EXPECT_EXIT(pid, 0);
    EXPECT(pair_works(pair));
    pid = child([&] { close_pair(pair); });
    EXPECT_EXIT(pid, 0);
    EXPECT(pair_works(pair));
    close_pair(pair);
  }
}

// What waits for a killed process takes nothing any more.
TEST(death_with_shared_descriptors) {
  Pair pair = tcp_pair();
  auto in_child = [&] {
    EXPECT_EQ(write(pair.a, "r", 1), 1);
    char byte;
    read(pair.a, &byte, 1);
  };
  for (int memory : kWithoutAndWithMemory) {
    pid_t pid = sharing_child(memory, in_child);
    char byte = 0;
    EXPECT_EQ(read(pair.b, &byte, 1), 1);
    sleep_ms(20);
    OK(kill(pid, SIGKILL));
    int status = wait_for(pid);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(write(pair.b, "x", 1), 1);
    EXPECT(readable(pair.a));
    EXPECT_EQ(recv(pair.a, &byte, 1, MSG_DONTWAIT), 1);
  }
  EXPECT(pair_works(pair));
}

TEST(shared_descriptors_outlive_their_first_process) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    static int mine;
    mine = OK(dup(pair.a));
    close_pair(pair);
    auto in_child = [] {
      sleep_ms(30);
      echo_once(mine);
      EXPECT(pair_works(tcp_pair()));
      EXPECT_EQ(write(mine, check::failures ? "n" : "y", 1), 1);
    };
    sharing_child(0, in_child);
  });
  close(pair.a);
  EXPECT_EXIT(pid, 0);
  EXPECT(echoes(pair.b));
  char byte = 0;
  EXPECT_EQ(read(pair.b, &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(read(pair.b, &byte, 1), 0);
}

// Descriptors are shared, credentials are not.
TEST(rights_beside_shared_descriptors) {
  pid_t both = child([] {
    int tcp = OK(socket(AF_INET, SOCK_STREAM, 0));
    auto in_child = [&] {
      OK(setresuid(65534, 65534, 65534));
      EXPECT_ERR(set_option(tcp, SOL_SOCKET, SO_MARK, 1), EPERM);
      std::thread([&] { EXPECT_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM); }).join();
    };
    EXPECT_EXIT(sharing_child(0, in_child), 0);
    OK(set_option(tcp, SOL_SOCKET, SO_MARK, 1));
    std::thread([&] { OK(set_option(tcp, SOL_SOCKET, SO_MARK, 2)); }).join();
  });
  EXPECT_EXIT(both, 0);
}

TEST(many_that_share_descriptors) {
  int udp = bound(SOCK_DGRAM, loopback());
  sockaddr_in to = name_of(udp);
  for (int i = 0; i < 200; i++) {
    int fd = -1;
    auto in_child = [&] {
      fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
      EXPECT_EQ(sendto(fd, &fd, sizeof fd, 0, generic(&to), sizeof to), sizeof fd);
    };
    pid_t pid = sharing_child(kWithoutAndWithMemory[i % 2], in_child);
    int got = -1;
    EXPECT_EQ(recv(udp, &got, sizeof got, 0), sizeof got);
    EXPECT_EXIT(pid, 0);
    EXPECT_EQ(close(got), 0);
  }
}

// A set that two tables have, with a waiter in each: adding a quiet descriptor causes no event.
TEST(one_epoll_set_in_two_tables) {
  int set = OK(epoll_create1(EPOLL_CLOEXEC)), local = OK(eventfd(0, EFD_CLOEXEC));
  epoll_event event = {EPOLLIN, {.u64 = 1}};
  EXPECT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, local, &event), 0);
  int udp = bound(SOCK_DGRAM, loopback());
  auto wait_in_vain = [set] {
    epoll_event got;
    EXPECT_EQ(epoll_wait(set, &got, 1, 600), 0);
  };
  std::thread first(wait_in_vain);
  sleep_ms(100);
  std::thread second([&] {
    OK(unshare(CLONE_FILES));
    wait_in_vain();
  });
  sleep_ms(100);
  EXPECT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, udp, &event), 0);
  first.join();
  second.join();
  for (int fd : {udp, local, set}) EXPECT_EQ(close(fd), 0);
}
