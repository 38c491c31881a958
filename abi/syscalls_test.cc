// SPDX-License-Identifier: Apache-2.0
//
// The table against itself and against the system's headers.
#include "abi/syscalls.h"

#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <utime.h>

#include <fstream>
#include <map>
#include <set>
#include <string>

namespace mino::abi {
namespace {

bool is_memory(Kind kind) {
  return kind > Kind::kFd;
}

// Kinds whose length `len` describes.
bool has_length(Kind kind) {
  switch (kind) {
    case Kind::kIn:
    case Kind::kOut:
    case Kind::kInOut:
    case Kind::kOptIn:
    case Kind::kIovIn:
    case Kind::kIovOut:
    case Kind::kMmsgIn:
    case Kind::kMmsgOut:
    case Kind::kFdSet:
      return true;
    default:
      return false;
  }
}

TEST(SyscallsTest, NumbersAndNamesAreUnique) {
  std::set<uint32_t> numbers;
  std::set<std::string> names;
  for (const Row& row : kSyscalls) {
    ASSERT_NE(row.name, nullptr);
    ASSERT_NE(row.note, nullptr);
    EXPECT_LT(row.nr, kSyscallLimit) << row.name;
    EXPECT_TRUE(numbers.insert(row.nr).second) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_row(row.nr), &row);
  }
  EXPECT_EQ(find_row(kSyscallLimit), nullptr);
  EXPECT_EQ(find_row(~uint64_t{0}), nullptr);
  EXPECT_EQ(find_row(9999), nullptr);
  EXPECT_EQ(find_row(39), nullptr);  // getpid
}

TEST(SyscallsTest, NumbersAreTheSystems) {
  std::map<std::string, uint32_t> numbers;
  for (const char* path :
       {"/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"}) {
    std::ifstream header(path);
    std::string define, name;
    uint32_t number = 0;
    for (std::string line; std::getline(header, line);) {
      char symbol[64];
      if (std::sscanf(line.c_str(), "#define __NR_%63s %u", symbol, &number) == 2) {
        numbers.emplace(symbol, number);
      }
    }
  }
  if (numbers.empty()) GTEST_SKIP() << "no asm/unistd_64.h (linux-libc-dev) on this machine";
  uint32_t highest = 0;
  for (const auto& [name, number] : numbers) highest = std::max(highest, number);
  for (const Row& row : kSyscalls) {
    const auto found = numbers.find(row.name);
    if (found == numbers.end()) {
      EXPECT_GT(row.nr, highest) << row.name << " is not in asm/unistd_64.h, and not newer than it";
    } else {
      EXPECT_EQ(row.nr, found->second) << row.name;
    }
  }
}

TEST(SyscallsTest, LengthsReferToNumbers) {
  for (const Row& row : kSyscalls) {
    for (int i = 0; i < 6; i++) {
      const Arg& arg = row.args[i];
      SCOPED_TRACE(std::string(row.name) + " argument " + std::to_string(i));
      if (!has_length(arg.kind)) {
        EXPECT_EQ(arg.len.unit, 0);
        continue;
      }
      EXPECT_GT(arg.len.unit, 0);
      if (arg.len.how == Len::kFixed) continue;
      ASSERT_LT(arg.len.arg, 6);
      const Arg& length = row.args[arg.len.arg];
      if (arg.len.how == Len::kArg) {
        EXPECT_EQ(length.kind, Kind::kValue);
      } else {
        // The walker reads the length before it reports it, and the buffer comes first.
        EXPECT_GT(arg.len.arg, i);
        EXPECT_EQ(length.kind, Kind::kInOut);
        EXPECT_EQ(length.len.how, Len::kFixed);
        EXPECT_EQ(length.len.unit, 4);
        EXPECT_EQ(length.wrote, Wrote::kChanged);
      }
    }
  }
}

TEST(SyscallsTest, KindsAndWhatIsWrittenFit) {
  for (const Row& row : kSyscalls) {
    bool ended = false;
    for (int i = 0; i < 6; i++) {
      const Arg& arg = row.args[i];
      SCOPED_TRACE(std::string(row.name) + " argument " + std::to_string(i));
      if (arg.kind == Kind::kNone) ended = true;
      EXPECT_FALSE(ended && arg.kind != Kind::kNone) << "an argument behind the last one";
      switch (arg.wrote) {
        case Wrote::kAll:
          break;
        case Wrote::kResult:
          EXPECT_EQ(arg.kind, Kind::kOut);
          EXPECT_EQ(arg.len.how, Len::kArg);
          EXPECT_EQ(arg.len.unit, 1);
          EXPECT_FALSE(row.flags & kMakesFd);
          break;
        case Wrote::kUnits:
          EXPECT_EQ(arg.kind, Kind::kOut);
          EXPECT_GT(arg.len.unit, 1);
          break;
        case Wrote::kVector:
          EXPECT_EQ(arg.kind, Kind::kIovOut);
          break;
        case Wrote::kSockLen:
          EXPECT_EQ(arg.kind, Kind::kOut);
          EXPECT_EQ(arg.len.how, Len::kSockLen);
          break;
        case Wrote::kChanged:
          EXPECT_TRUE(arg.kind == Kind::kInOut || arg.kind == Kind::kFdSet ||
                      arg.kind == Kind::kIoctl || arg.kind == Kind::kFcntl);
          break;
        case Wrote::kMsg:
          EXPECT_TRUE(arg.kind == Kind::kMsgOut || arg.kind == Kind::kMmsgIn ||
                      arg.kind == Kind::kMmsgOut);
          break;
      }
      EXPECT_TRUE((arg.kind != Kind::kIoctl && arg.kind != Kind::kFcntl) || i == 2);
      EXPECT_TRUE(arg.kind != Kind::kOptIn || i == 3);
    }
  }
}

TEST(SyscallsTest, RoutesHaveWhatTheyRouteBy) {
  for (const Row& row : kSyscalls) {
    SCOPED_TRACE(row.name);
    int fds = 0, paths = 0;
    for (const Arg& arg : row.args) {
      fds += arg.kind == Kind::kFd;
      paths += arg.kind == Kind::kPath;
    }
    switch (row.route) {
      case Route::kByFd:
      case Route::kClose:
      case Route::kDup:
      case Route::kFcntl:
      case Route::kIoctl:
      case Route::kMessage:
      case Route::kEpollCtl:
      case Route::kEpollWait:
        EXPECT_GE(fds, 1);
        EXPECT_EQ(row.args[0].kind, Kind::kFd);
        break;
      case Route::kCopy:
        EXPECT_EQ(fds, std::string(row.name) == "vmsplice" ? 1 : 2)
            << "vmsplice: memory is the other side";
        break;
      case Route::kPath:
      case Route::kMount:
        EXPECT_EQ(paths, 1);
        break;
      case Route::kPathTwo:
        EXPECT_EQ(paths, 2);
        break;
      case Route::kFork:
      case Route::kExec:
      case Route::kExit:
      case Route::kSignal:
      case Route::kText:
      case Route::kWait:
        EXPECT_EQ(row.support, Support::kHost);
        break;
      case Route::kGuard:
        EXPECT_NE(row.support, Support::kFull);
        break;
      case Route::kRefuse:
        EXPECT_EQ(row.support, Support::kNone);
        break;
      default:
        break;
    }
    if (row.flags & kMakesFd) {
      EXPECT_TRUE(row.route == Route::kSocket || row.route == Route::kByFd ||
                  row.route == Route::kDup || row.route == Route::kEpollCreate ||
                  row.route == Route::kPath);
      EXPECT_FALSE(row.flags & kMakesTwoFds);
    }
    EXPECT_TRUE(!(row.flags & kRaisesSigpipe) || (row.flags & kMayBlock));
    EXPECT_TRUE(!(row.flags & kFdMayBePath) || paths >= 1);
    if (row.support == Support::kPartial || row.support == Support::kNone) {
      EXPECT_STRNE(row.note, "") << "what is missing?";
    }
    // Rows that an engine executes describe all their memory.
    if (row.support == Support::kHost) {
      for (const Arg& arg : row.args) EXPECT_FALSE(has_length(arg.kind)) << "host only";
    }
  }
}

TEST(SyscallsTest, StructuresHaveTheirSize) {
  const struct {
    uint32_t nr;
    int arg;
    size_t bytes;
  } sizes[] = {
      {4, 1, sizeof(struct stat)},      {5, 1, sizeof(struct stat)},
      {6, 1, sizeof(struct stat)},      {262, 2, sizeof(struct stat)},
      {332, 4, sizeof(struct statx)},   {137, 1, sizeof(struct statfs)},
      {138, 1, sizeof(struct statfs)},  {7, 0, sizeof(pollfd)},
      {271, 0, sizeof(pollfd)},         {271, 2, sizeof(timespec)},
      {23, 4, sizeof(timeval)},         {270, 4, sizeof(timespec)},
      {233, 3, sizeof(epoll_event)},    {232, 1, sizeof(epoll_event)},
      {281, 1, sizeof(epoll_event)},    {441, 1, sizeof(epoll_event)},
      {441, 3, sizeof(timespec)},       {299, 4, sizeof(timespec)},
      {132, 1, sizeof(struct utimbuf)}, {235, 1, 2 * sizeof(timeval)},
      {280, 2, 2 * sizeof(timespec)},   {40, 2, sizeof(off_t)},
      {53, 3, 2 * sizeof(int)},         {116, 1, sizeof(gid_t)},
  };
  for (const auto& size : sizes) {
    const Row* row = find_row(size.nr);
    ASSERT_NE(row, nullptr) << size.nr;
    EXPECT_EQ(row->args[size.arg].len.unit, size.bytes) << row->name;
  }
}

TEST(SyscallsTest, SignalMasksStayOnTheHost) {
  for (const uint32_t nr : {271u, 281u, 441u}) {
    const Row* row = find_row(nr);
    int masks = 0;
    for (int i = 0; i < 6; i++) {
      if (row->args[i].kind != Kind::kHost) continue;
      masks++;
      ASSERT_LT(i, 5);
      EXPECT_EQ(row->args[i + 1].kind, Kind::kValue) << "the mask's size";
    }
    EXPECT_EQ(masks, 1) << row->name;
  }
  EXPECT_EQ(find_row(270)->args[5].kind, Kind::kSigmask);
  EXPECT_TRUE(is_memory(Kind::kSigmask) && is_memory(Kind::kPath) && !is_memory(Kind::kValue));
}

}  // namespace
}  // namespace mino::abi
