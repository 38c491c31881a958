// SPDX-License-Identifier: Apache-2.0
//
// splice, tee and sendfile where pipes and devices of the host meet sockets and files of the
// network: messages, blocking, wrong ends, and every pair of kinds of descriptors. What copies of
// plain files look like is in copy.cc.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include <algorithm>
#include <string>
#include <vector>

#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

struct Pipe {
  int in, out;
  explicit Pipe(int flags = 0) {
    int fds[2];
    OK(pipe2(fds, flags));
    out = fds[0];
    in = fds[1];
  }
};

int in_pipe(const Pipe& pipe) {
  int bytes = -1;
  OK(ioctl(pipe.out, FIONREAD, &bytes));
  return bytes;
}

constexpr int kSlot = 4096, kSlots = 16;

// Leaves this many pages free.
void fill_pipe(const Pipe& pipe, int free_pages) {
  const std::vector<char> page(kSlot);
  for (int i = free_pages; i < kSlots; i++) EXPECT_EQ(write(pipe.in, page.data(), kSlot), kSlot);
}

void send_bytes(int fd, size_t size) {
  const auto data = pattern(size);
  EXPECT_EQ(send(fd, data.data(), size, 0), size);
}

bool holds_pattern(const Pipe& pipe, size_t size) {
  std::vector<char> got(size + 1);
  return read(pipe.out, got.data(), size + 1) == static_cast<ssize_t>(size) &&
         is_pattern(got.data(), size);
}

}  // namespace

TEST(a_datagram_at_a_time) {
  Pair pair = udp_pair(SOCK_NONBLOCK);
  Pipe pipe;
  send_bytes(pair.b, 3);
  send_bytes(pair.b, 4);
  send_bytes(pair.b, 0);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 100, 0), 3);
  EXPECT_EQ(in_pipe(pipe), 3);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 100, 0), 4);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 100, 0), 0);
  EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, 100, 0), EAGAIN);
  EXPECT_EQ(in_pipe(pipe), 7);
}

TEST(a_whole_datagram) {
  Pair pair = udp_pair(SOCK_NONBLOCK);
  Pipe pipe;
  send_bytes(pair.b, 6000);
  send_bytes(pair.b, 60000);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 20000, 0), 6000);
  EXPECT(holds_pattern(pipe, 6000));
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 65536, 0), 60000);
  EXPECT(holds_pattern(pipe, 60000));
  char byte;
  EXPECT_ERR(recv(pair.a, &byte, 1, 0), EAGAIN);
}

// What has no room is cut off, as with a buffer that is too small.
TEST(a_datagram_in_too_little_room) {
  Pair pair = udp_pair(SOCK_NONBLOCK);
  Pipe pipe;
  send_bytes(pair.b, 6000);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, 1000, 0), 1000);
  EXPECT(holds_pattern(pipe, 1000));
  for (int free_pages : {1, 2, 10}) {
    Pipe full;
    fill_pipe(full, free_pages);
    send_bytes(pair.b, 20000);
    check::report("%d pages: %zd", free_pages, splice(pair.a, nullptr, full.in, nullptr, 65536, 0));
  }
  char byte;
  EXPECT_ERR(recv(pair.a, &byte, 1, 0), EAGAIN);
}

TEST(a_stream_in_too_little_room) {
  Pair pair = tcp_pair();
  const auto data = pattern(200000);
  std::thread sender([&] {
    for (size_t at = 0; at < data.size();)
      at += static_cast<size_t>(OK(write(pair.a, data.data() + at, data.size() - at)));
    OK(shutdown(pair.a, SHUT_WR));
  });
  Pipe pipe;
  std::vector<char> got;
  char buffer[5000];
  ssize_t n;
  // The pipe is never empty, and its free room is never a whole number of pages.
  while ((n = splice(pair.b, nullptr, pipe.in, nullptr, 7777, 0)) > 0) {
    const ssize_t took = read(pipe.out, buffer, std::min<size_t>(sizeof buffer, n > 1 ? n - 1 : 1));
    got.insert(got.end(), buffer, buffer + took);
    while (in_pipe(pipe) > 40000) {
      const ssize_t more = read(pipe.out, buffer, sizeof buffer);
      got.insert(got.end(), buffer, buffer + more);
    }
  }
  EXPECT_EQ(n, 0);
  close(pipe.in);
  while ((n = read(pipe.out, buffer, sizeof buffer)) > 0) got.insert(got.end(), buffer, buffer + n);
  sender.join();
  EXPECT_EQ(got.size(), data.size());
  EXPECT(is_pattern(got.data(), got.size()));
}

TEST(nonblock_is_about_the_pipe) {
  Pair pair = tcp_pair();
  Pipe pipe;
  Outcome in;
  while_blocked(
      &in, [&] { return splice(pair.a, nullptr, pipe.in, nullptr, 100, SPLICE_F_NONBLOCK); },
      [&](pthread_t) {
        EXPECT(!in.done);
        send_bytes(pair.b, 5);
      });
  EXPECT_EQ(in.result, 5);
  EXPECT(holds_pattern(pipe, 5));
  // Out, to a socket with no room.
  std::vector<char> much(1 << 20);
  OK(set_option(pair.a, SOL_SOCKET, SO_SNDBUF, 4096));
  size_t sent = 0;
  const auto send_more = [&](size_t size) {
    const ssize_t n = send(pair.a, much.data(), size, MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    return n > 0;
  };
  do {
    while (send_more(much.size())) {
    }
    sleep_ms(20);
  } while (send_more(1000));
  EXPECT_EQ(write(pipe.in, much.data(), 1000), 1000);
  Outcome out;
  while_blocked(
      &out, [&] { return splice(pipe.out, nullptr, pair.a, nullptr, 1000, SPLICE_F_NONBLOCK); },
      [&](pthread_t) {
        for (size_t got = 0; got < sent;)
          got += static_cast<size_t>(OK(recv(pair.b, much.data(), much.size(), 0)));
      });
  EXPECT_EQ(out.result, 1000);
  EXPECT_EQ(in_pipe(pipe), 0);
  EXPECT_ERR(splice(pipe.out, nullptr, pair.a, nullptr, 1, SPLICE_F_NONBLOCK), EAGAIN);
  fill_pipe(pipe, 0);
  send_bytes(pair.b, 5);
  EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, 1, SPLICE_F_NONBLOCK), EAGAIN);
  OK(fcntl(pipe.in, F_SETFL, O_NONBLOCK));
  EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, 1, 0), EAGAIN);
  OK(fcntl(pair.a, F_SETFL, O_NONBLOCK));
  OK(fcntl(pipe.in, F_SETFL, 0));
  char byte;
  EXPECT_EQ(recv(pair.a, &byte, 1, MSG_PEEK), 1);  // and all of it is still there
}

TEST(a_pipe_that_nobody_reads) {
  Pair pair = tcp_pair();
  on_signal(SIGPIPE, count_signal);
  for (bool full : {false, true}) {
    Pipe pipe;
    if (full) fill_pipe(pipe, 0);
    close(pipe.out);
    handled = 0;
    EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, 10, 0), EPIPE);
    EXPECT_EQ(handled, 1);
    EXPECT_ERR(sendfile(pipe.in, pair.a, nullptr, 10), EPIPE);
    EXPECT_EQ(handled, 2);
    EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, 10, SPLICE_F_NONBLOCK), EPIPE);
  }
}

TEST(the_wrong_ends) {
  Pair pair = tcp_pair();
  Pipe pipe;
  EXPECT_ERR(splice(pair.a, nullptr, pipe.out, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(pipe.in, nullptr, pair.a, nullptr, 10, 0), EBADF);
  EXPECT_ERR(sendfile(pipe.out, pair.a, nullptr, 10), EBADF);
  EXPECT_ERR(sendfile(pair.a, pipe.in, nullptr, 10), EBADF);
  EXPECT_ERR(sendfile(pair.a, pipe.out, nullptr, 10), EINVAL);
  int path = OK(open("/", O_PATH));
  EXPECT_ERR(splice(pair.a, nullptr, path, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(path, nullptr, pair.a, nullptr, 10, 0), EBADF);
  EXPECT_ERR(sendfile(pair.a, path, nullptr, 10), EBADF);
  int read_only = OK(open("/dev/null", O_RDONLY)), write_only = OK(open("/dev/null", O_WRONLY));
  EXPECT_ERR(splice(pair.a, nullptr, read_only, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(write_only, nullptr, pair.a, nullptr, 10, 0), EBADF);
  EXPECT_ERR(splice(pair.a, nullptr, write_only, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(sendfile(pair.a, write_only, nullptr, 10), EBADF);
  EXPECT_ERR(tee(pair.a, pipe.out, 10, 0), EBADF);
  EXPECT_ERR(tee(pipe.in, pair.a, 10, 0), EBADF);
  EXPECT_ERR(tee(pipe.out, pair.a, 10, 0x100), EINVAL);
  EXPECT_EQ(tee(9999, pair.a, 0, 0), 0);
  loff_t offset = 0;
  EXPECT_ERR(splice(pipe.out, &offset, pair.a, nullptr, 10, 0), ESPIPE);
  EXPECT_ERR(splice(pair.a, nullptr, pipe.in, &offset, 10, 0), ESPIPE);
  EXPECT_ERR(splice(pair.a, &offset, pipe.in, nullptr, 10, 0), EINVAL);
  EXPECT_ERR(sendfile(pipe.in, pair.a, &offset, 10), ESPIPE);
  loff_t* bad = reinterpret_cast<loff_t*>(8);
  EXPECT_ERR(splice(pair.a, bad, pipe.in, nullptr, 10, 0), EFAULT);
  EXPECT_ERR(syscall(SYS_sendfile, pair.a, 9999, bad, 10), EFAULT);
}

TEST(huge_and_empty_lengths) {
  Pair pair = tcp_pair();
  Pipe pipe;
  const size_t huge = ~size_t{0};
  int zero = OK(open("/dev/zero", O_RDONLY)), file = OK(memfd_create("file", 0));
  EXPECT_ERR(splice(pair.a, nullptr, pipe.in, nullptr, huge, 0), EINVAL);
  EXPECT_ERR(splice(pipe.out, nullptr, pair.a, nullptr, huge, 0), EINVAL);
  EXPECT_ERR(sendfile(pair.a, zero, nullptr, huge), EINVAL);
  EXPECT_ERR(sendfile(pair.a, file, nullptr, huge), EINVAL);
  EXPECT_EQ(sendfile(pair.a, file, nullptr, huge >> 1), 0);
  EXPECT_EQ(sendfile(pair.a, file, nullptr, 0), 0);
  EXPECT_EQ(sendfile(pair.a, zero, nullptr, 0), 0);
  EXPECT_EQ(sendfile(pipe.in, pair.a, nullptr, 0), 0);
  EXPECT_EQ(splice(9999, nullptr, pair.a, nullptr, 0, ~0u), 0);
  send_bytes(pair.b, 100);
  EXPECT_EQ(splice(pair.a, nullptr, pipe.in, nullptr, huge >> 1, 0), 100);
  EXPECT_EQ(splice(pipe.out, nullptr, pair.a, nullptr, huge >> 1, 0), 100);
}

TEST(sendfile_from_devices) {
  Pair pair = tcp_pair();
  char got[1000];
  for (const char* name : {"/dev/zero", "/dev/urandom"}) {
    int device = OK(open(name, O_RDONLY));
    EXPECT_EQ(sendfile(pair.a, device, nullptr, 1000), 1000);
    EXPECT_EQ(recv(pair.b, got, 1000, MSG_WAITALL), 1000);
    off_t offset = 5;
    EXPECT_EQ(sendfile(pair.a, device, &offset, 1000), 1000);
    check::report("%s: position %lld", name, static_cast<long long>(offset));
    EXPECT_EQ(recv(pair.b, got, 1000, MSG_WAITALL), 1000);
  }
  EXPECT_ERR(sendfile(pair.a, OK(open("/dev/null", O_RDONLY)), nullptr, 1000), EINVAL);
  // The host's files of /proc have a size of 0, and only some can be spliced.
  for (const char* name : {"/proc/self/status", "/proc/cpuinfo", "/proc/self/mounts"}) {
    int file = OK(open(name, O_RDONLY));
    check::report("%s: %s", name, check::outcome(sendfile(pair.a, file, nullptr, 10)));
  }
}

TEST(sendfile_to_pipes) {
  Pair pair = tcp_pair();
  Pipe pipe;
  send_bytes(pair.b, 5);
  EXPECT_EQ(sendfile(pipe.in, pair.a, nullptr, 100), 5);
  EXPECT(holds_pattern(pipe, 5));
  int settings = OK(open("/proc/sys/net/core/somaxconn", O_RDONLY));
  off_t offset = 0;
  ssize_t size = sendfile(pipe.in, settings, &offset, 100);
  EXPECT(size > 1);
  EXPECT_EQ(offset, size);
  EXPECT_EQ(lseek(settings, 0, SEEK_CUR), 0);
  EXPECT_EQ(in_pipe(pipe), size);
}

TEST(settings_and_attributes) {
  Pipe pipe;
  int out = OK(memfd_create("out", 0));
  char expected[64], got[64];
  for (const char* name : {"/proc/sys/net/core/somaxconn", "/sys/class/net/lo/address"}) {
    int file = OK(open(name, O_RDONLY));
    ssize_t size = OK(read(file, expected, sizeof expected));
    lseek(file, 0, SEEK_SET);
    EXPECT_EQ(sendfile(out, file, nullptr, 100), size);
    EXPECT_EQ(pread(out, got, sizeof got, lseek(out, 0, SEEK_CUR) - size), size);
    EXPECT(memcmp(got, expected, static_cast<size_t>(size)) == 0);
    EXPECT_EQ(lseek(file, 0, SEEK_CUR), size);
    loff_t at = 0;
    EXPECT_EQ(splice(file, &at, pipe.in, nullptr, 100, 0), size);
    EXPECT_EQ(at, size);
    EXPECT_EQ(read(pipe.out, got, sizeof got), size);
    EXPECT(memcmp(got, expected, static_cast<size_t>(size)) == 0);
    EXPECT_ERR(splice(pipe.out, nullptr, file, nullptr, 5, 0), EBADF);
  }
  // And a setting is set by splice.
  const char* name = "/proc/sys/net/core/somaxconn";
  ssize_t size = OK(pread(OK(open(name, O_RDONLY)), expected, sizeof expected, 0));
  int file = OK(open(name, O_WRONLY));
  EXPECT_EQ(write(pipe.in, expected, static_cast<size_t>(size)), size);
  EXPECT_EQ(splice(pipe.out, nullptr, file, nullptr, static_cast<size_t>(size), 0), size);
  EXPECT_EQ(in_pipe(pipe), 0);
  file = OK(open(name, O_WRONLY));
  EXPECT_EQ(write(pipe.in, "no number\n", 10), 10);
  EXPECT_ERR(splice(pipe.out, nullptr, file, nullptr, 10, 0), EINVAL);
  EXPECT_EQ(in_pipe(pipe), 10);
  EXPECT_ERR(splice(file, nullptr, pipe.in, nullptr, 10, 0), EBADF);
}

TEST(appending) {
  char text[4200];
  snprintf(text, sizeof text, "%s/append", check::scratch());
  int append = OK(open(text, O_CREAT | O_RDWR | O_APPEND, 0600));
  int settings = OK(open("/proc/sys/net/core/somaxconn", O_RDONLY));
  EXPECT_ERR(sendfile(append, settings, nullptr, 10), EINVAL);
  EXPECT_EQ(lseek(settings, 0, SEEK_CUR), 0);
}

TEST(signals_during_splice) {
  Pair pair = tcp_pair();
  Pipe pipe;
  for (bool restarts : {false, true}) {
    struct sigaction action = {};
    action.sa_handler = count_signal;
    action.sa_flags = restarts ? SA_RESTART : 0;
    OK(sigaction(SIGUSR1, &action, nullptr));
    for (int way = 0; way < 3; way++) {
      if (way == 2) fill_pipe(pipe, 0);
      const auto call = [&] {
        return way == 1 ? splice(pipe.out, nullptr, pair.a, nullptr, 10, 0)
                        : splice(pair.a, nullptr, pipe.in, nullptr, 10, 0);
      };
      Outcome outcome;
      handled = 0;
      if (!restarts) {
        interrupt_until_done(&outcome, SIGUSR1, call);
        EXPECT(outcome.result == -1 && outcome.error == EINTR);
      } else {
        while_blocked(&outcome, call, [&](pthread_t thread) {
          pthread_kill(thread, SIGUSR1);
          while (!handled) sched_yield();
          if (way == 1) EXPECT_EQ(write(pipe.in, "0123456789", 10), 10);
          if (way == 0) send_bytes(pair.b, 10);
          std::vector<char> all(kSlot * kSlots);
          if (way == 2) {
            send_bytes(pair.b, 10);
            EXPECT_EQ(read(pipe.out, all.data(), all.size()), all.size());
          }
        });
        EXPECT_EQ(outcome.result, 10);
      }
      std::vector<char> all(kSlot * kSlots);
      OK(fcntl(pipe.out, F_SETFL, O_NONBLOCK));
      while (read(pipe.out, all.data(), all.size()) > 0) {
      }
      OK(fcntl(pipe.out, F_SETFL, 0));
    }
  }
}

namespace {

// Every kind of descriptor, prepared so that no copy waits.
struct Kind {
  const char* name;
  int (*make)();
};

int with_bytes(int fd, int other) {
  OK(write(other, "some bytes", 10));
  OK(fcntl(fd, F_SETFL, O_NONBLOCK));
  return fd;
}

int file_with(int flags) {
  char path[4200];
  snprintf(path, sizeof path, "%s/file", check::scratch());
  int fd = OK(open(path, O_CREAT | O_RDWR | O_TRUNC, 0600));
  OK(write(fd, "some bytes", 10));
  close(fd);
  return OK(open(path, flags));
}

const Kind kinds[] = {
    {"closed", [] { return 9999; }},
    {"end to read",
     [] {
       Pipe p;
       return with_bytes(p.out, p.in);
     }},
    {"end to write", [] { return Pipe(O_NONBLOCK).in; }},
    {"end without a reader",
     [] {
       Pipe p(O_NONBLOCK);
       close(p.out);
       return p.in;
     }},
    {"end without a writer",
     [] {
       Pipe p(O_NONBLOCK);
       close(p.in);
       return p.out;
     }},
    {"tcp",
     [] {
       Pair p = tcp_pair(SOCK_NONBLOCK);
       return with_bytes(p.a, p.b);
     }},
    {"tcp, ended",
     [] {
       Pair p = tcp_pair(SOCK_NONBLOCK);
       close(p.b);
       return p.a;
     }},
    {"tcp, fresh", [] { return OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)); }},
    {"tcp, listening", [] { return listener(SOCK_NONBLOCK); }},
    {"udp",
     [] {
       Pair p = udp_pair(SOCK_NONBLOCK);
       return with_bytes(p.a, p.b);
     }},
    {"udp, fresh", [] { return OK(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)); }},
    {"netlink", [] { return OK(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0)); }},
    {"unix",
     [] {
       int fds[2];
       OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
       return with_bytes(fds[0], fds[1]);
     }},
    {"file", [] { return file_with(O_RDWR); }},
    {"file to read", [] { return file_with(O_RDONLY); }},
    {"file to write", [] { return file_with(O_WRONLY); }},
    {"file to append to", [] { return file_with(O_RDWR | O_APPEND); }},
    {"path", [] { return file_with(O_PATH); }},
    {"directory", [] { return OK(open("/", O_RDONLY)); }},
    {"/dev/zero", [] { return OK(open("/dev/zero", O_RDWR)); }},
    {"/dev/null", [] { return OK(open("/dev/null", O_RDWR)); }},
    {"eventfd", [] { return OK(eventfd(1, EFD_NONBLOCK)); }},
    {"epoll", [] { return OK(epoll_create1(0)); }},
    {"/proc/net/dev", [] { return OK(open("/proc/net/dev", O_RDONLY)); }},
    {"/proc/net", [] { return OK(open("/proc/net", O_RDONLY)); }},
    {"setting to read", [] { return OK(open("/proc/sys/net/core/somaxconn", O_RDONLY)); }},
    {"attribute to read", [] { return OK(open("/sys/class/net/lo/address", O_RDONLY)); }},
};

const char* text(long result, char (&buffer)[32]) {
  if (result == -1) return check::error_name(errno);
  snprintf(buffer, sizeof buffer, "%ld", result);
  return buffer;
}

// One line for each pair: the call without and with an offset.
template <class Call>
void each_pair(Call call) {
  signal(SIGPIPE, SIG_IGN);
  for (const Kind& from : kinds) {
    for (const Kind& to : kinds) {
      char results[2][32];
      std::string line;
      for (int with : {0, 1}) {
        int in = from.make(), out = to.make();
        off_t offset = 1;
        line += text(call(in, out, with ? &offset : nullptr), results[with]);
        line += with ? offset != 1 ? ", moved" : "" : " / ";
        for (int fd = 3; fd < 40; fd++) close(fd);
      }
      check::report("%s -> %s: %s", from.name, to.name, line.c_str());
    }
  }
}

}  // namespace

TEST(sendfile_between_all_kinds) {
  each_pair([](int in, int out, off_t* offset) { return sendfile(out, in, offset, 8); });
}

TEST(splice_between_all_kinds) {
  each_pair([](int in, int out, off_t* offset) {
    return splice(in, offset, out, nullptr, 8, SPLICE_F_NONBLOCK);
  });
}

TEST(splice_to_an_offset_between_all_kinds) {
  each_pair([](int in, int out, off_t* offset) {
    return splice(in, nullptr, out, offset, 8, SPLICE_F_NONBLOCK);
  });
}

TEST(tee_between_all_kinds) {
  each_pair([](int in, int out, off_t*) { return tee(in, out, 8, SPLICE_F_NONBLOCK); });
}

TEST(copy_file_range_between_all_kinds) {
  each_pair([](int in, int out, off_t* offset) {
    return copy_file_range(in, offset, out, nullptr, 4, 0);
  });
}

TEST(vmsplice_with_all_kinds) {
  signal(SIGPIPE, SIG_IGN);
  for (const Kind& kind : kinds) {
    char bytes[8] = {}, result[32];
    iovec part = piece(bytes, sizeof bytes);
    const int fd = kind.make();
    check::report("%s: %s", kind.name, text(vmsplice(fd, &part, 1, SPLICE_F_NONBLOCK), result));
  }
}
