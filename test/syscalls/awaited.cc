// SPDX-License-Identifier: Apache-2.0
//
// SIGIO, and what F_SETSIG puts in its place, for programs that wait for it: sigwaitinfo and
// signalfd return what a handler would be told (owners.cc).

#include <sys/signalfd.h>
#include <sys/uio.h>

#include "children.h"
#include "loopback.h"

namespace {

// Blocks the signal that announces input at the second socket; 0: SIGIO without F_SETSIG.
Pair tells_of_input(int signo, sigset_t* set) {
  sigemptyset(set);
  sigaddset(set, signo ? signo : SIGIO);
  OK(sigprocmask(SIG_BLOCK, set, nullptr));
  Pair pair = udp_pair();
  OK(fcntl(pair.b, F_SETOWN, getpid()));
  OK(fcntl(pair.b, F_SETSIG, signo));
  OK(fcntl(pair.b, F_SETFL, O_ASYNC | O_NONBLOCK));
  return pair;
}

void expect_input(const signalfd_siginfo& info, int signo, int fd) {
  EXPECT_EQ(info.ssi_signo, signo);
  EXPECT_EQ(info.ssi_code, POLL_IN);
  EXPECT_EQ(info.ssi_errno, 0);
  EXPECT_EQ(info.ssi_fd, fd);
  EXPECT_EQ(info.ssi_band, POLLIN | POLLRDNORM);
  EXPECT_EQ(info.ssi_pid, 0);
}

}  // namespace

TEST(waited_for) {
  sigset_t set;
  Pair pair = tells_of_input(SIGRTMIN + 1, &set);
  timespec patience = {10, 0};
  for (bool any_time : {false, true}) {
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    siginfo_t info = {};
    EXPECT_EQ(any_time ? sigwaitinfo(&set, &info) : sigtimedwait(&set, &info, &patience),
              SIGRTMIN + 1);
    EXPECT_EQ(info.si_signo, SIGRTMIN + 1);
    EXPECT_EQ(info.si_code, POLL_IN);
    EXPECT_EQ(info.si_errno, 0);
    EXPECT_EQ(info.si_fd, pair.b);
    EXPECT_EQ(info.si_band, POLLIN | POLLRDNORM);
  }
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  int signo = 0;
  EXPECT_EQ(sigwait(&set, &signo), 0);
  EXPECT_EQ(signo, SIGRTMIN + 1);
}

TEST(waited_for_without_f_setsig) {
  sigset_t set;
  Pair pair = tells_of_input(0, &set);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  siginfo_t info = {};
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGIO);
  EXPECT_EQ(info.si_code, SI_KERNEL);
  EXPECT_EQ(info.si_errno, 0);
  EXPECT_EQ(info.si_fd, 0);
}

// A signal that no kernel has made says what its sender says.
TEST(sent_by_a_program) {
  sigset_t set;
  tells_of_input(SIGRTMIN + 1, &set);
  siginfo_t info = {};
  union sigval value;
  value.sival_int = 42;
  OK(sigqueue(getpid(), SIGRTMIN + 1, value));
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
  EXPECT_EQ(info.si_code, SI_QUEUE);
  EXPECT_EQ(info.si_value.sival_int, 42);
  EXPECT_EQ(info.si_pid, getpid());
  OK(raise(SIGRTMIN + 1));
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
  EXPECT_EQ(info.si_code, SI_USER);  // by libc, of SI_TKILL
  int signals = OK(signalfd(-1, &set, 0));
  OK(sigqueue(getpid(), SIGRTMIN + 1, value));
  signalfd_siginfo record = {};
  EXPECT_EQ(read(signals, &record, sizeof record), sizeof record);
  EXPECT_EQ(record.ssi_code, SI_QUEUE);
  EXPECT_EQ(record.ssi_int, 42);
}

TEST(bad_waits) {
  sigset_t set;
  Pair pair = tells_of_input(SIGRTMIN + 1, &set);
  timespec at_once = {0, 0}, wrong = {0, -1};
  siginfo_t info;
  auto* nowhere = reinterpret_cast<siginfo_t*>(8);
  EXPECT_ERR(sigtimedwait(&set, &info, &at_once), EAGAIN);
  EXPECT_ERR(sigtimedwait(&set, &info, &wrong), EINVAL);
  EXPECT_EQ(write(pair.a, "x", 1), 1);
  EXPECT_ERR(syscall(SYS_rt_sigtimedwait, &set, nowhere, nullptr, 8), EFAULT);
  EXPECT_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, nullptr, 4), EINVAL);
  int signals = OK(signalfd(-1, &set, SFD_NONBLOCK));
  EXPECT_ERR(read(signals, &info, 127), EINVAL);
  EXPECT_ERR(read(signals, &info, sizeof info), EAGAIN);
  EXPECT_ERR(signalfd(pair.b, &set, 0), EINVAL);
  EXPECT_ERR(signalfd(-1, &set, 1), EINVAL);
}

// A signal with a handler ends the wait, whatever it says about calls.
TEST(wait_is_interrupted) {
  for (int flags : {0, SA_RESTART}) {
    on_signal(SIGUSR1, count_signal, flags);
    handled = 0;
    Outcome outcome;
    sigset_t set;
    Pair pair = tells_of_input(SIGRTMIN + 1, &set);
    siginfo_t info;
    timespec patience = {15, 0};
    interrupt_until_done(&outcome, SIGUSR1, [&] { return sigtimedwait(&set, &info, &patience); });
    EXPECT_EQ(outcome.result, -1);
    EXPECT_EQ(outcome.error, EINTR);
    EXPECT(handled > 0);
    close_pair(pair);
  }
}

TEST(read_from_signalfd) {
  sigset_t set;
  const int signo = SIGRTMIN + 1;
  Pair pair = tells_of_input(signo, &set);
  int first = OK(signalfd(-1, &set, SFD_CLOEXEC));
  int copies[] = {first, OK(dup(first)), OK(fcntl(first, F_DUPFD_CLOEXEC, 100)),
                  OK(dup2(first, 200))};
  for (int fd : copies) {
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    EXPECT(readable(fd));
    signalfd_siginfo info = {};
    EXPECT_EQ(read(fd, &info, sizeof info), sizeof info);
    expect_input(info, signo, pair.b);
    close(fd);
  }
  int other = OK(socket(AF_INET, SOCK_DGRAM, 0));  // at a number that was a signalfd
  EXPECT_ERR(recv(other, &other, 1, MSG_DONTWAIT), EAGAIN);
}

// Two records at once, read in pieces that end in the middle of what the hook corrects.
namespace {

void read_in_pieces(bool at_no_offset) {
  sigset_t set;
  const int signo = SIGRTMIN + 1;
  Pair pair = tells_of_input(signo, &set);
  int fd = OK(signalfd(-1, &set, 0));
  for (int i = 0; i < 2; i++) EXPECT_EQ(write(pair.a, "x", 1), 1);
  sleep_ms(200);  // both wait, on most runs
  signalfd_siginfo info[2] = {};
  char* const at = reinterpret_cast<char*>(info);
  size_t got = 0;
  while (got < sizeof info) {
    char* const to = at + got;
    const size_t room = sizeof info - got;
    iovec parts[] = {{to, 5}, {to + 5, 0}, {to + 5, 4}, {to + 9, room - 9}};
    const ssize_t n = at_no_offset ? preadv2(fd, parts, 4, -1, 0) : readv(fd, parts, 4);
    EXPECT(n > 0 && n % static_cast<ssize_t>(sizeof *info) == 0);
    if (n <= 0) return;
    got += static_cast<size_t>(n);
  }
  for (const signalfd_siginfo& one : info) expect_input(one, signo, pair.b);
}

}  // namespace

TEST(read_in_pieces) {
  read_in_pieces(false);
  read_in_pieces(true);
}

TEST(signalfd_in_a_child) {
  sigset_t set;
  const int signo = SIGRTMIN + 1;
  Pair pair = tells_of_input(signo, &set);
  int fd = OK(signalfd(-1, &set, 0));
  pid_t pid = child([&] {
    OK(fcntl(pair.b, F_SETOWN, getpid()));
    EXPECT_EQ(write(pair.a, "x", 1), 1);
    signalfd_siginfo info = {};
    EXPECT_EQ(read(fd, &info, sizeof info), sizeof info);
    expect_input(info, signo, pair.b);
  });
  EXPECT_EXIT(pid, 0);
}
