// SPDX-License-Identifier: Apache-2.0
//
// Every row of the table of system calls, with arguments that follow from the row alone: no
// descriptor, a datagram socket, a stream socket, a file and a directory of the network; and each
// pointer bad in turn. Linux decides what the answers should be: they are printed, and the two runs
// are compared.

#include <string>

#include "abi/syscalls.h"
#include "children.h"
#include "loopback.h"
#include "memory.h"

namespace {

using mino::abi::Arg;
using mino::abi::Kind;
using mino::abi::Route;
using mino::abi::Row;

constexpr const char* kFile = "/proc/sys/net/ipv4/ip_default_ttl";
constexpr const char* kDirectory = "/proc/sys/net/ipv4";

enum class Subject { kNothing, kDatagram, kStream, kFile, kDirectory };

int open_subject(Subject subject) {
  switch (subject) {
    case Subject::kNothing:
      return -1;
    case Subject::kDatagram:
      return bound(SOCK_DGRAM | SOCK_NONBLOCK, loopback());
    case Subject::kStream:
      return tcp_pair(SOCK_NONBLOCK).a;
    case Subject::kFile:
      return OK(open(kFile, O_RDONLY));
    case Subject::kDirectory:
      return OK(open(kDirectory, O_RDONLY | O_DIRECTORY));
  }
  return -1;
}

bool is_pointer(const Arg& arg) {
  return arg.kind != Kind::kNone && arg.kind != Kind::kValue && arg.kind != Kind::kFd;
}

// Rows that would end or change the process that makes the comparison are left out.
bool is_callable(const Row& row) {
  switch (row.route) {
    case Route::kFork:
    case Route::kExec:
    case Route::kExit:
    case Route::kSignal:
    case Route::kGuard:
    case Route::kText:
    case Route::kBpf:     // differs from kernel to kernel
    case Route::kRefuse:  // mino refuses what it does not carry, whatever Linux would say
      return false;
    default:
      return true;
  }
}

bool has_descriptor(const Row& row) {
  for (const Arg& arg : row.args) {
    if (arg.kind == Kind::kFd) return true;
  }
  return false;
}

// One call: descriptors are `fd`, numbers are `value`, pointers lead to a page of zeros or to a
// path; argument number `bad` leads nowhere.
long call_row(const Row& row, int fd, long value, int bad, char* zeros) {
  long words[6] = {};
  for (int i = 0; i < 6; i++) {
    const Arg& arg = row.args[i];
    if (arg.kind == Kind::kFd) {
      words[i] = fd;
    } else if (arg.kind == Kind::kValue) {
      words[i] = value;
    } else if (i == bad) {
      words[i] = static_cast<long>(reinterpret_cast<uintptr_t>(bad_pointers()[1]));
    } else if (arg.kind == Kind::kPath || arg.kind == Kind::kString) {
      words[i] = static_cast<long>(reinterpret_cast<uintptr_t>(kFile));
    } else if (arg.kind != Kind::kNone) {
      words[i] = static_cast<long>(reinterpret_cast<uintptr_t>(zeros));
    }
  }
  return syscall(row.nr, words[0], words[1], words[2], words[3], words[4], words[5]);
}

void try_row(const Row& row, Subject subject) {
  Guarded page;
  for (long value : {0L, 8L}) {
    // Numbers that name users or masks would change what the following calls may do.
    if (value != 0 && row.route == Route::kMirror) continue;
    for (int bad = -1; bad < 6; bad++) {
      if (bad >= 0 && !is_pointer(row.args[bad])) continue;
      if (bad >= 0 && subject == Subject::kStream) continue;
      int fd = open_subject(subject);
      memset(page.start(), 0, page.size());
      errno = 0;
      long result = call_row(row, fd, value, bad, page.start());
      const char* outcome = check::outcome(result);
      // (flock looks at its command first.)
      if (subject == Subject::kNothing && row.route == Route::kByFd && value == 0 && bad == -1 &&
          strcmp(row.name, "flock") != 0) {
        EXPECT_TEXT(outcome, "EBADF");
      }
      std::string where = bad == -1 ? "" : ", argument " + std::to_string(bad) + " bad";
      check::report("%s: numbers %ld%s: %s", row.name, value, where.c_str(), outcome);
      closefrom(3);
    }
  }
}

void try_all(Subject subject) {
  for (const Row& row : mino::abi::kSyscalls) {
    if (!is_callable(row)) continue;
    if (subject != Subject::kNothing && !has_descriptor(row)) continue;
    // Each runs in a process of its own, so that nothing leaks into the next.
    pid_t pid = child([&] {
      closefrom(3);
      alarm(10);
      try_row(row, subject);
    });
    int status = wait_for(pid);
    if (status != 0) check::fail("every_row.cc", __LINE__, row.name, "the process failed");
  }
}

}  // namespace

TEST(no_descriptor) {
  try_all(Subject::kNothing);
}
TEST(datagram_socket) {
  try_all(Subject::kDatagram);
}
TEST(stream_socket) {
  try_all(Subject::kStream);
}
TEST(file) {
  try_all(Subject::kFile);
}
TEST(directory) {
  try_all(Subject::kDirectory);
}

TEST(the_table_is_sound) {
  int last_count = 0;
  for (const Row& row : mino::abi::kSyscalls) {
    EXPECT(row.name != nullptr && row.name[0] != '\0');
    EXPECT(mino::abi::find_row(row.nr) == &row);  // no number occurs twice
    last_count++;
  }
  EXPECT(last_count > 80);
  EXPECT(mino::abi::find_row(511) == nullptr);
}
