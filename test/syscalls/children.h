// SPDX-License-Identifier: Apache-2.0
//
// Processes, threads and waiting, for the tests of this directory. A child prints itself what it
// finds wrong; its exit status tells the parent.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>
#include <thread>

#include "check.h"

inline void sleep_ms(long ms) {
  timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

inline long now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

template <class Body>
pid_t child(Body body) {
  pid_t pid = OK(fork());
  if (pid == 0) {
    check::failures = 0;
    body();
    _exit(check::failures ? 1 : 0);
  }
  return pid;
}

// The exit status of the child, or -1.
inline int wait_for(pid_t pid) {
  int status = -1;
  pid_t got;
  do {
    got = waitpid(pid, &status, 0);
  } while (got == -1 && errno == EINTR);
  return got == pid ? status : -1;
}

// The child has ended by itself, with this exit status.
#define EXPECT_EXIT(pid, exit_status)             \
  do {                                            \
    int status_ = wait_for(pid);                  \
    EXPECT(WIFEXITED(status_));                   \
    EXPECT_EQ(WEXITSTATUS(status_), exit_status); \
  } while (0)

inline void on_signal(int signo, void (*handler)(int), int flags = 0) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  OK(sigaction(signo, &action, nullptr));
}

inline std::atomic<int> handled{0};
inline void count_signal(int) {
  handled++;
}

// The result of a call, with its errno, to be passed between threads.
struct Outcome {
  std::atomic<bool> started{false};
  std::atomic<bool> done{false};
  long result = 0;
  int error = 0;
};

// Runs `call` in a thread of its own. `meanwhile` runs here once that thread is probably blocked.
// On a busy machine the call may not have begun, and `meanwhile` must have the same effect on it
// then.
template <class Call, class Meanwhile>
void while_blocked(Outcome* outcome, Call call, Meanwhile meanwhile, long pause_ms = 30) {
  std::thread thread([&] {
    outcome->started = true;
    errno = 0;
    outcome->result = static_cast<long>(call());
    outcome->error = errno;
    outcome->done = true;
  });
  while (!outcome->started) sched_yield();
  sleep_ms(pause_ms);
  meanwhile(thread.native_handle());
  thread.join();
}

// Sends the signal again and again until the call has returned. A single one might arrive before
// the thread blocks, and would then prove nothing.
template <class Call>
void interrupt_until_done(Outcome* outcome, int signo, Call call) {
  while_blocked(outcome, call, [&](pthread_t thread) {
    while (!outcome->done) {
      pthread_kill(thread, signo);
      sleep_ms(10);
    }
  });
}

// SIGALRM every `ms` milliseconds, for calls that block in the first thread; 0 stops it.
inline void alarm_every(long ms) {
  itimerval timer = {};
  timer.it_value.tv_usec = ms * 1000;
  timer.it_interval = timer.it_value;
  OK(setitimer(ITIMER_REAL, &timer, nullptr));
}

// One end of a connection answers a byte with the next one; the other end checks that.
inline void echo_once(int fd) {
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  byte++;
  EXPECT_EQ(write(fd, &byte, 1), 1);
}

inline bool echoes(int fd) {
  char byte = 'k';
  return write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'l';
}
