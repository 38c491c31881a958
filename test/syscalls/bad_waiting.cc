// SPDX-License-Identifier: Apache-2.0
//
// Bad pointers in the calls that wait: poll, select, epoll. And the arguments where NULL means
// "none".

#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "loopback.h"
#include "memory.h"

#define EACH_BAD(pointer) for (void* pointer : bad_pointers())

TEST(polls) {
  Pair pair = tcp_pair();
  pollfd entry = {pair.a, POLLOUT, 0};
  timespec soon = {0, 0};
  sigset_t none;
  sigemptyset(&none);
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_poll, bad, 1, 0), EFAULT);
    EXPECT_EQ(syscall(SYS_poll, bad, 0, 0), is_outside(bad) ? -1 : 0);
    EXPECT_ERR(syscall(SYS_ppoll, bad, 1, &soon, nullptr, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_ppoll, &entry, 1, bad, nullptr, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_ppoll, &entry, 1, &soon, bad, 8), EFAULT);
  }
  EXPECT_EQ(syscall(SYS_ppoll, &entry, 1, nullptr, nullptr, 0), 1);
  EXPECT_ERR(syscall(SYS_ppoll, &entry, 1, &soon, &none, 7), EINVAL);
  // The array crosses into an inaccessible page.
  Guarded page;
  auto* edge = reinterpret_cast<pollfd*>(page.tail(2 * sizeof(pollfd)));
  edge[0] = edge[1] = entry;
  EXPECT_EQ(poll(edge, 2, 0), 2);
  EXPECT_ERR(syscall(SYS_poll, edge, 3, 0), EFAULT);
  // It can be read, but the answer cannot be written.
  OK(mprotect(page.start(), kPage, PROT_READ));
  EXPECT_ERR(syscall(SYS_poll, edge, 2, 0), EFAULT);
}

TEST(selects) {
  Pair pair = tcp_pair();
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair.a, &set);
  timeval soon = {0, 0};
  timespec soon_too = {0, 0};
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_select, 1, bad, nullptr, nullptr, &soon), EFAULT);
    EXPECT_ERR(syscall(SYS_select, 1, nullptr, bad, nullptr, &soon), EFAULT);
    EXPECT_ERR(syscall(SYS_select, 1, nullptr, nullptr, bad, &soon), EFAULT);
    EXPECT_ERR(syscall(SYS_select, pair.a + 1, nullptr, &set, nullptr, bad), EFAULT);
    EXPECT_EQ(syscall(SYS_select, 0, bad, bad, bad, &soon), 0);
    EXPECT_ERR(syscall(SYS_pselect6, 1, bad, nullptr, nullptr, &soon_too, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_pselect6, pair.a + 1, nullptr, &set, nullptr, bad, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_pselect6, pair.a + 1, nullptr, &set, nullptr, &soon_too, bad), EFAULT);
    struct {
      void* mask;
      size_t size;
    } sigmask = {bad, 8};
    EXPECT_ERR(syscall(SYS_pselect6, pair.a + 1, nullptr, &set, nullptr, &soon_too, &sigmask),
               EFAULT);
  }
  EXPECT_EQ(syscall(SYS_select, pair.a + 1, nullptr, &set, nullptr, nullptr), 1);
}

TEST(epolls) {
  Pair pair = tcp_pair();
  int ep = OK(epoll_create1(0));
  epoll_event event = {EPOLLOUT, {.u64 = 7}};
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, pair.a, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, pair.a, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, -1, bad), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, pair.a, bad), ENOENT);
  }
  EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, pair.a, &event), 0);
  sigset_t none;
  sigemptyset(&none);
  EACH_BAD(bad) {
    EXPECT_ERR(syscall(SYS_epoll_wait, ep, bad, 4, 0), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_pwait, ep, bad, 4, 0, nullptr, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_pwait, ep, &event, 1, 0, bad, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_epoll_pwait2, ep, &event, 1, bad, nullptr, 8), EFAULT);
  }
  EXPECT_ERR(syscall(SYS_epoll_pwait, ep, &event, 1, 0, &none, 7), EINVAL);
  event = {};
  EXPECT_EQ(epoll_wait(ep, &event, 1, 0), 1);  // the failed waits took nothing away
  EXPECT_EQ(event.data.u64, 7);
  EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, pair.a, nullptr), 0);
  // An edge that a failed wait could not deliver must not be lost.
  event = {EPOLLOUT | EPOLLET, {.u64 = 8}};
  EXPECT_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, pair.a, &event), 0);
  EXPECT_ERR(syscall(SYS_epoll_wait, ep, bad_pointers()[1], 4, 0), EFAULT);
  EXPECT_EQ(epoll_wait(ep, &event, 1, 0), 1);
  EXPECT_EQ(epoll_wait(ep, &event, 1, 0), 0);
}
