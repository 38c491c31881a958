// SPDX-License-Identifier: Apache-2.0
//
// The environment that execve gives: as the program finds it, and as the kernel shows it in
// /proc/self/environ. The program's own LD_PRELOAD is among it, whatever it holds.

#include <fcntl.h>
#include <spawn.h>

#include <string>
#include <vector>

#include "children.h"
#include "files.h"
#include "loopback.h"

extern char** environ;

namespace {

constexpr const char* kSelf = "/proc/self/exe";

std::vector<std::vector<std::string>> environments() {
  return {
      {},
      {"A=1"},
      {"LD_PRELOAD="},
      {"LD_PRELOAD=libm.so.6"},
      {"FIRST=1", "LD_PRELOAD=libm.so.6 libdl.so.2", "LAST=1"},
      {"LD_PRELOAD= libm.so.6 : libdl.so.2: ", "LAST=1"},
      {"LD_PRELOAD=libm.so.6:libdl.so.2", "BETWEEN=", "LD_PRELOAD=libdl.so.2", "LAST=1"},
      {"LD_PRELOAD=", "LD_PRELOAD=", "no equals sign", "", "=", "LAST=" + std::string(5000, 'x')},
  };
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> to;
  for (auto& word : words) to.push_back(word.data());
  to.push_back(nullptr);
  return to;
}

void check_environment(const std::vector<std::string>& want) {
  size_t count = 0;
  std::string strings;
  for (; environ[count]; count++) {
    EXPECT(count < want.size() && want[count] == environ[count]);
    strings += environ[count] + std::string(1, '\0');
  }
  EXPECT_EQ(count, want.size());
  EXPECT(contents("/proc/self/environ") == strings);
  EXPECT(contents(("/proc/" + std::to_string(getppid()) + "/cmdline").c_str()).size() > 0);
}

}  // namespace

// argv: which environment, and what is left to execute
HELPER(given) {
  const size_t which = static_cast<size_t>(atoi(argv[2]));
  const int left = atoi(argv[3]);
  auto want = environments()[which];
  check_environment(want);
  if (check::failures || !left) return check::failures ? 1 : 0;
  EXPECT(pair_works(tcp_pair()));  // with a session, and then again
  execl(kSelf, "environment", "@given", argv[2], std::to_string(left - 1).c_str(), nullptr);
  return 2;
}

TEST(as_it_was_given) {
  const auto all = environments();
  for (size_t i = 0; i < all.size(); i++) {
    auto strings = all[i];
    pid_t pid = child([&] {
      std::vector<std::string> words{"environment", "@given", std::to_string(i), "2"};
      execve(kSelf, pointers(words).data(), pointers(strings).data());
      _exit(127);
    });
    EXPECT_EXIT(pid, 0);
  }
}

TEST(as_a_spawned_program_sees_it) {
  auto strings = environments()[4];
  std::vector<std::string> words{"environment", "@given", "4", "1"};
  pid_t pid = -1;
  EXPECT_EQ(
      posix_spawn(&pid, kSelf, nullptr, nullptr, pointers(words).data(), pointers(strings).data()),
      0);
  EXPECT_EXIT(pid, 0);
}

// As other processes see it.
TEST(of_a_child) {
  int gate[2], ready[2];
  EXPECT_EQ(pipe(gate), 0);
  EXPECT_EQ(pipe(ready), 0);
  pid_t pid = child([&] {
    dup2(gate[0], 0);
    dup2(ready[1], 1);
    std::vector<std::string> words{"cat"}, strings{"A=1", "B=2"};
    for (int i = 3; i < 16; i++) close(i);
    execve("/bin/cat", pointers(words).data(), pointers(strings).data());
  });
  EXPECT_EQ(write(gate[1], "x", 1), 1);
  char byte;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);  // it runs
  const std::string shown = contents(("/proc/" + std::to_string(pid) + "/environ").c_str());
  EXPECT(shown == std::string("A=1\0B=2\0", 8));
  close(gate[1]);
  EXPECT_EXIT(pid, 0);
}

TEST(changed_by_the_program) {
  EXPECT_EQ(setenv("LD_PRELOAD", "libm.so.6", 1), 0);
  EXPECT_EQ(unsetenv("PATH"), 0);
  pid_t pid = child([] {
    execl("/bin/sh", "sh", "-c",
          "test \"$LD_PRELOAD\" = libm.so.6 && unset LD_PRELOAD && "
          "/usr/bin/env | { ! /bin/grep -q LD_PRELOAD; }",
          nullptr);
    _exit(127);
  });
  EXPECT_EXIT(pid, 0);
}
