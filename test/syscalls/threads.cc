// SPDX-License-Identifier: Apache-2.0
//
// Sockets and threads: many at once, short-lived ones, two on one socket, and threads that are
// blocked while another closes, shuts down or cancels.

#include <linux/futex.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "children.h"
#include "loopback.h"
#include "memory.h"

TEST(thirty_two_connections) {
  int from = listener(0, 64);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 32; i++) {
    threads.emplace_back([from, i] {
      int client = connected_to(from);
      auto data = pattern(20000, i);
      std::vector<unsigned char> got(data.size());
      for (int round = 0; round < 5; round++) {
        EXPECT_EQ(write(client, data.data(), data.size()), data.size());
        EXPECT_EQ(recv(client, got.data(), got.size(), MSG_WAITALL), data.size());
        EXPECT(is_pattern(got.data(), got.size(), 0, i));
      }
      EXPECT_EQ(close(client), 0);
    });
  }
  std::vector<std::thread> servers;
  for (int i = 0; i < 32; i++) {
    int fd = OK(accept(from, nullptr, nullptr));
    servers.emplace_back([fd] {
      char bytes[4096];
      for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;) {
        for (ssize_t at = 0; at < n;) at += OK(write(fd, bytes + at, static_cast<size_t>(n - at)));
      }
      EXPECT_EQ(close(fd), 0);
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& thread : servers) thread.join();
}

TEST(five_hundred_short_lives) {
  Pair pair = udp_pair();
  for (int i = 0; i < 500; i++) {
    std::thread([&] { EXPECT_EQ(write(pair.a, &i, sizeof i), sizeof i); }).join();
    int got = -1;
    EXPECT_EQ(read(pair.b, &got, sizeof got), sizeof got);
    EXPECT_EQ(got, i);
  }
}

TEST(many_alive_at_once) {
  Pair pair = udp_pair();
  std::atomic<bool> go{false};
  std::atomic<int> waiting{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; i++) {
    threads.emplace_back([&] {
      EXPECT(fcntl(pair.a, F_GETFL) != -1);
      waiting++;
      while (!go) sleep_ms(5);
      EXPECT_EQ(write(pair.a, "x", 1), 1);
    });
  }
  while (waiting < 100) sleep_ms(1);
  go = true;
  for (auto& thread : threads) thread.join();
  char byte;
  for (int i = 0; i < 100; i++) EXPECT_EQ(recv(pair.b, &byte, 1, MSG_DONTWAIT), 1);
}

TEST(two_on_one_socket) {
  Pair pair = tcp_pair();
  auto send_records = [&](char who) {
    char record[100];
    memset(record, who, sizeof record);
    for (int i = 0; i < 500; i++) EXPECT_EQ(write(pair.a, record, sizeof record), sizeof record);
  };
  std::thread one(send_records, '1'), two(send_records, '2');
  int count[2] = {};
  for (int i = 0; i < 1000; i++) {
    char record[100];
    EXPECT_EQ(recv(pair.b, record, sizeof record, MSG_WAITALL), sizeof record);
    for (char byte : record) EXPECT_EQ(byte, record[0]);  // records do not mix
    count[record[0] == '2']++;
  }
  one.join();
  two.join();
  EXPECT_EQ(count[0], 500);
  EXPECT_EQ(count[1], 500);
}

TEST(full_duplex) {
  Pair pair = tcp_pair();
  char byte = 0;
  Outcome outcome;
  // One thread is blocked in recv; another sends on the same socket meanwhile.
  while_blocked(
      &outcome, [&] { return recv(pair.a, &byte, 1, 0); },
      [&](pthread_t) {
        for (int i = 0; i < 100; i++) EXPECT_EQ(write(pair.a, "x", 1), 1);
        char bytes[100];
        EXPECT_EQ(recv(pair.b, bytes, sizeof bytes, MSG_WAITALL), 100);
        EXPECT(!outcome.done);
        EXPECT_EQ(write(pair.b, "y", 1), 1);
      });
  EXPECT_EQ(outcome.result, 1);
  EXPECT_EQ(byte, 'y');
}

TEST(shutdown_wakes) {
  Pair pair = tcp_pair();
  char byte;
  Outcome received, accepted;
  while_blocked(
      &received, [&] { return recv(pair.a, &byte, 1, 0); },
      [&](pthread_t) { EXPECT_EQ(shutdown(pair.a, SHUT_RD), 0); });
  EXPECT_EQ(received.result, 0);
  int from = listener();
  while_blocked(
      &accepted, [&] { return accept(from, nullptr, nullptr); },
      [&](pthread_t) { EXPECT_EQ(shutdown(from, SHUT_RDWR), 0); });
  EXPECT_EQ(accepted.result, -1);
  EXPECT_EQ(accepted.error, EINVAL);
  Outcome datagram;
  Pair udp = udp_pair();
  while_blocked(
      &datagram, [&] { return recv(udp.a, &byte, 1, 0); },
      [&](pthread_t) { EXPECT_EQ(shutdown(udp.a, SHUT_RD), 0); });
  EXPECT_EQ(datagram.result, 0);
}

// A recv of two bytes on pair.a, of which one is there. That this one is taken shows that the call
// has begun and holds the socket.
template <class Meanwhile>
static void while_receiving(const Pair& pair, Outcome* outcome, char (&bytes)[2],
                            Meanwhile meanwhile) {
  EXPECT_EQ(write(pair.b, "1", 1), 1);
  EXPECT(readable(pair.a));
  while_blocked(
      outcome, [&] { return recv(pair.a, bytes, 2, MSG_WAITALL); },
      [&](pthread_t) {
        for (int waiting = 1; waiting != 0; sleep_ms(1)) OK(ioctl(pair.a, FIONREAD, &waiting));
        meanwhile();
      });
}

// close() by another thread does not end a blocked call, which holds the socket until it is done.
TEST(close_does_not_wake) {
  Pair pair = tcp_pair();
  char byte = 0, bytes[2] = {};
  Outcome outcome;
  while_receiving(pair, &outcome, bytes, [&] {
    EXPECT_EQ(close(pair.a), 0);
    EXPECT_ERR(recv(pair.a, &byte, 1, MSG_DONTWAIT), EBADF);
    sleep_ms(30);
    EXPECT(!outcome.done);
    int reused = OK(open("/dev/null", O_RDONLY));  // the number is free at once
    EXPECT(reused <= pair.a);
    EXPECT_EQ(write(pair.b, "z", 1), 1);
  });
  EXPECT_EQ(outcome.result, 2);
  EXPECT_EQ(bytes[1], 'z');
  EXPECT(readable(pair.b));
  EXPECT_EQ(read(pair.b, &byte, 1), 0);  // now it is closed
}

TEST(dup2_over_a_blocked_call) {
  Pair pair = tcp_pair(), second = tcp_pair();
  char bytes[2] = {};
  Outcome outcome;
  while_receiving(pair, &outcome, bytes, [&] {
    EXPECT_EQ(dup2(second.a, pair.a), pair.a);
    EXPECT(pair_works({pair.a, second.b}));  // the number means the new socket …
    EXPECT(!outcome.done);
    EXPECT_EQ(write(pair.b, "o", 1), 1);  // … the blocked call the old one
  });
  EXPECT_EQ(outcome.result, 2);
  EXPECT_EQ(bytes[1], 'o');
}

TEST(thread_ends_while_blocked_elsewhere) {
  Pair pair = tcp_pair();
  int fd = -1;
  std::thread([&] { fd = OK(dup(pair.a)); }).join();
  EXPECT(pair_works({fd, pair.b}));  // what it opened stays open
  std::thread([&] { close(fd); }).join();
  char byte;
  EXPECT_ERR(read(fd, &byte, 1), EBADF);
}

namespace {
std::atomic<int> cleaned{0};
void clean(void*) {
  cleaned++;
}

struct Blocked {
  int fd;
  std::atomic<bool> started{false};
};

void* receive_with_cleanup(void* argument) {
  auto* blocked = static_cast<Blocked*>(argument);
  pthread_cleanup_push(clean, nullptr);
  char byte;
  blocked->started = true;
  recv(blocked->fd, &byte, 1, 0);
  pthread_cleanup_pop(0);
  return nullptr;
}
}  // namespace

TEST(cancelled_in_recv) {
  Pair pair = tcp_pair();
  for (int i = 1; i <= 5; i++) {
    Blocked blocked = {pair.a};
    pthread_t thread;
    OK(pthread_create(&thread, nullptr, receive_with_cleanup, &blocked) == 0 ? 0 : -1);
    while (!blocked.started) sched_yield();
    sleep_ms(20);
    EXPECT_EQ(pthread_cancel(thread), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
    EXPECT_EQ(cleaned, i);
    EXPECT(pair_works(pair));
  }
}

TEST(cancelled_before_recv) {
  Pair pair = tcp_pair();
  EXPECT_EQ(write(pair.b, "x", 1), 1);
  EXPECT(readable(pair.a));
  Blocked blocked = {pair.a};
  pthread_t thread;
  auto body = [](void* argument) -> void* {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    sleep_ms(20);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    return receive_with_cleanup(argument);
  };
  OK(pthread_create(&thread, nullptr, body, &blocked) == 0 ? 0 : -1);
  EXPECT_EQ(pthread_cancel(thread), 0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  char byte;
  EXPECT_EQ(recv(pair.a, &byte, 1, MSG_DONTWAIT), 1);  // it has taken nothing
}

TEST(cancelled_in_accept_and_poll) {
  int from = listener();
  pollfd entry = {from, POLLIN, 0};
  auto in_accept = [](void* fd) -> void* {
    accept(static_cast<int>(reinterpret_cast<intptr_t>(fd)), nullptr, nullptr);
    return nullptr;
  };
  auto in_poll = [](void* set) -> void* {
    poll(static_cast<pollfd*>(set), 1, -1);
    return nullptr;
  };
  pthread_t one, two;
  OK(pthread_create(&one, nullptr, in_accept, reinterpret_cast<void*>(intptr_t{from})) ? -1 : 0);
  OK(pthread_create(&two, nullptr, in_poll, &entry) ? -1 : 0);
  sleep_ms(30);
  for (pthread_t thread : {one, two}) {
    EXPECT_EQ(pthread_cancel(thread), 0);
    void* result = nullptr;
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
  }
  int client = connected_to(from);
  int server = OK(accept(from, nullptr, nullptr));
  EXPECT(pair_works({client, server}));
}

namespace {
std::atomic<int> raw_result{0};
std::atomic<int> raw_tid{1};
int raw_thread(void* argument) {
  raw_result = pair_works(*static_cast<Pair*>(argument)) ? 1 : 2;
  return 0;
}
}  // namespace

// A thread that libc does not know of, as language runtimes make them. Its TLS is that of its
// maker.
TEST(raw_clone_thread) {
  Pair pair = tcp_pair();
  static char stack[262144];
  for (int i = 0; i < 10; i++) {
    raw_result = 0;
    raw_tid = 1;
    OK(clone(raw_thread, stack + sizeof stack,
             CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                 CLONE_CHILD_CLEARTID,
             &pair, nullptr, nullptr, &raw_tid));
    while (int tid = raw_tid) {
      timespec limit = {5, 0};
      syscall(SYS_futex, &raw_tid, FUTEX_WAIT, tid, &limit, nullptr, 0);
    }
    EXPECT_EQ(raw_result, 1);
  }
  EXPECT(pair_works(pair));
}

namespace {

constexpr size_t kOwnStack = 65536;
std::atomic<int> given_away{0};
bool unmaps;

// Ends as threads of Go and of musl do: with all signals blocked, no alternate stack, and a stack
// that is already another thread's, or gone, when it calls exit.
int ends_without_a_stack(void* stack) {
  uint64_t all = ~uint64_t{0};
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);
  syscall(SYS_sigaltstack, &none, nullptr);
  if (unmaps) {
    asm volatile(
        "mov $11, %%eax\n syscall\n xor %%edi, %%edi\n mov $60, %%eax\n syscall\n ud2" ::"D"(stack),
        "S"(kOwnStack));
  }
  asm volatile(
      "movl $1, (%0)\n"
      "1: pause\n cmpl $2, (%0)\n jne 1b\n xor %%edi, %%edi\n mov $60, %%eax\n syscall\n ud2" ::"r"(
          &given_away));
  __builtin_unreachable();
}

}  // namespace

TEST(ends_without_a_stack) {
  for (int i = 0; i < 60; i++) {
    unmaps = i % 2;
    given_away = 0;
    raw_tid = 1;
    char* stack = static_cast<char*>(
        mmap(nullptr, kOwnStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK(clone(ends_without_a_stack, stack + kOwnStack,
             CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                 CLONE_CHILD_CLEARTID,
             stack, nullptr, nullptr, &raw_tid));
    while (!unmaps && given_away != 1) sched_yield();
    auto data = pattern(kOwnStack, static_cast<unsigned>(i));
    if (!unmaps) memcpy(stack, data.data(), kOwnStack);
    given_away = 2;
    while (int tid = raw_tid) {
      timespec limit = {5, 0};
      syscall(SYS_futex, &raw_tid, FUTEX_WAIT, tid, &limit, nullptr, 0);
    }
    unsigned char present;
    if (unmaps)
      EXPECT_ERR(mincore(stack, kOwnStack, &present), ENOMEM);
    else
      EXPECT(memcmp(stack, data.data(), kOwnStack) == 0);
  }
}

TEST(own_table_of_descriptors) {
  Pair pair = tcp_pair();
  std::thread([&] {
    OK(unshare(CLONE_FILES));
    EXPECT_EQ(close(pair.a), 0);
    EXPECT(pair_works(tcp_pair()));
  }).join();
  EXPECT(pair_works(pair));
}

// Threads that start after the process has given up privileges have no more than it has, whichever
// thread had their lane before.
TEST(rights_of_later_threads) {
  pid_t pid = child([] {
    int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
    auto mark = [fd] { return set_option(fd, SOL_SOCKET, SO_MARK, 1); };
    for (int i = 0; i < 3; i++) std::thread([&] { OK(mark()); }).join();
    OK(setresuid(65534, 65534, 65534));
    for (int i = 0; i < 3; i++) std::thread([&] { EXPECT_ERR(mark(), EPERM); }).join();
  });
  EXPECT_EXIT(pid, 0);
}

TEST(first_thread_ends) {
  Pair pair = tcp_pair();
  pid_t pid = child([&] {
    static Pair kept;
    kept = pair;
    std::thread([] {
      sleep_ms(30);
      char byte = 0;
      EXPECT_EQ(read(kept.b, &byte, 1), 1);
      EXPECT_EQ(write(kept.b, &byte, 1), 1);
      EXPECT(pair_works(tcp_pair()));
      _exit(check::failures ? 1 : 6);
    }).detach();
    pthread_exit(nullptr);
  });
  EXPECT_EQ(write(pair.a, "m", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(pair.a, &byte, 1), 1);
  EXPECT_EQ(byte, 'm');
  EXPECT_EXIT(pid, 6);
}

// A child made while signals arrive does not inherit the mask of their handlers.
TEST(masks_of_children_made_under_signals) {
  on_signal(SIGUSR1, [](int) {}, SA_RESTART);
  std::atomic<bool> done{false};
  const pid_t pid = getpid(), tid = static_cast<pid_t>(syscall(SYS_gettid));
  std::thread sender([&] {
    for (long spin = 0; !done; spin++) {
      syscall(SYS_tgkill, pid, tid, SIGUSR1);
      for (long i = 0; i < spin % 64 * 64; i++) asm volatile("pause");
    }
  });
  static volatile int blocked;
  blocked = 0;
  auto look = [](void*) {
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    if (sigismember(&mask, SIGTERM)) blocked = blocked + 1;
    return 0;
  };
  alignas(16) static char stack[65536];
  for (int i = 0; i < 1500; i++) {
    const pid_t made = OK(clone(look, stack + sizeof stack, CLONE_VM | SIGCHLD, nullptr));
    EXPECT_EXIT(made, 0);
    const pid_t forked = vfork();
    if (forked == 0) {
      look(nullptr);
      _exit(0);
    }
    EXPECT_EXIT(forked, 0);
  }
  done = true;
  sender.join();
  EXPECT_EQ(blocked, 0);
  signal(SIGUSR1, SIG_DFL);
}

// A lane made with other credentials is never taken for one that has the thread's, however often
// they have changed.
TEST(rights_after_256_changes) {
  pid_t pid = child([] {
    OK(fcntl(udp_pair().a, F_GETFL));
    std::thread([] { OK(close(OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)))); }).join();
    auto become = [](long user) { OK(syscall(SYS_setresuid, -1, user, -1)); };
    for (int i = 0; i < 127; i++) {
      become(1000);
      become(0);
    }
    OK(syscall(SYS_setgroups, 0, nullptr));
    become(1000);
    std::thread([] { EXPECT_ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM); }).join();
  });
  EXPECT_EXIT(pid, 0);
}
