// SPDX-License-Identifier: Apache-2.0
//
// The smallest test harness that can be trusted inside a process whose system calls are
// intercepted. Every program of test/syscalls/ includes it and gets its main() from it. Such a
// program runs twice, natively and under `mino run`, and both runs must print the same bytes and
// end the same way: so nothing that varies (pids, ports, addresses, times) may ever be printed by a
// test that passes.
//
//   TEST(name) { … }            a test, in a process of its own, so it may wreck anything
//   HELPER(name) { … }          what this program does when it is executed again as `prog @name …`
//   EXPECT(cond)                says where it failed and goes on
//   EXPECT_EQ(got, expected)    the same, with both values
//   EXPECT_ERR(call, code)      the call must return -1 with this errno
//   OK(call)                    the value of a call that has to work for the test to make sense
//   check::report("%s", …)      a line of output that the harness compares between the two runs
//   check::scratch()            a directory for the test's files, removed however the test ends
//
//   prog [--inline] [--list] [--timeout S] [NAME…] [-PREFIX…]
// runs all tests, or the named ones, without those that start with a PREFIX. --inline does not
// fork, for a debugger. A test that takes longer than the timeout (20 s) is killed with all its
// children.
//
// It must never use stdio buffers (fork would duplicate them) or leave a process behind.
#pragma once

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <type_traits>

namespace check {

struct Case {
  const char* name;
  void (*body)();
  Case* next = nullptr;
};

struct Helper {
  const char* name;
  int (*body)(int argc, char** argv);
  Helper* next = nullptr;
};

inline Case* first_case = nullptr;
inline Case** last_case = &first_case;
inline Helper* first_helper = nullptr;
inline std::atomic<int> failures{0};

struct AddCase {
  explicit AddCase(Case* c) {
    *last_case = c;
    last_case = &c->next;
  }
};

struct AddHelper {
  explicit AddHelper(Helper* h) {
    h->next = first_helper;
    first_helper = h;
  }
};

// Prints one line with one write(), so that lines of several processes do not mix.
[[gnu::format(printf, 1, 2)]] inline void report(const char* format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (length < 0) return;
  size_t end =
      static_cast<size_t>(length) < sizeof line - 2 ? static_cast<size_t>(length) : sizeof line - 2;
  line[end++] = '\n';
  for (size_t done = 0; done < end;) {
    ssize_t n = write(STDOUT_FILENO, line + done, end - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

inline const char* error_name(int code) {
  const char* name = strerrorname_np(code);
  return name ? name : "unknown errno";
}

// The outcome of a call as text that is the same in every run: "ok", or the name of the errno.
inline const char* outcome(long result) {
  return result == -1 ? error_name(errno) : "ok";
}

template <class T>
long long number(const T& value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_pointer_v<T>) {
    return static_cast<long long>(reinterpret_cast<unsigned long>(value));
  } else {
    return static_cast<long long>(value);
  }
}

inline void fail(const char* file, int line, const char* what, const char* detail) {
  failures++;
  report("%s:%d: %s: %s", file, line, what, detail);
}

inline void expect(bool holds, const char* file, int line, const char* text) {
  int saved = errno;
  if (!holds) fail(file, line, text, "expected true, got false");
  errno = saved;
}

template <class A, class B>
void expect_equal(const A& got, const B& expected, const char* file, int line, const char* text) {
  int saved = errno;
  if (number(got) != number(expected)) {
    char detail[160];
    snprintf(detail, sizeof detail, "expected %lld, got %lld (errno %s)", number(expected),
             number(got), error_name(saved));
    fail(file, line, text, detail);
  }
  errno = saved;
}

inline void expect_text(const char* got, const char* expected, const char* file, int line,
                        const char* text) {
  if (strcmp(got, expected) == 0) return;
  char detail[400];
  snprintf(detail, sizeof detail, "expected \"%s\", got \"%s\"", expected, got);
  fail(file, line, text, detail);
}

template <class T>
void expect_error(T result, int code, const char* file, int line, const char* text) {
  int saved = errno;
  if (number(result) == -1 && saved == code) return;
  char detail[160];
  if (number(result) == -1) {
    snprintf(detail, sizeof detail, "expected %s, got %s", error_name(code), error_name(saved));
  } else {
    snprintf(detail, sizeof detail, "expected %s, got success with value %lld", error_name(code),
             number(result));
  }
  fail(file, line, text, detail);
}

template <class T>
T ok(T result, const char* file, int line, const char* text) {
  if (number(result) == -1) {
    fail(file, line, text, error_name(errno));
    _exit(1);
  }
  return result;
}

inline bool starts_with(const char* text, const char* prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

inline char scratch_path[64];

inline const char* scratch() {
  if (mkdir(scratch_path, 0700) != 0 && errno != EEXIST) {
    fail(__FILE_NAME__, __LINE__, scratch_path, error_name(errno));
    _exit(1);
  }
  return scratch_path;
}

// Called by the process that started the test: the test itself may have been killed.
inline void remove_scratch() {
  auto remove_one = [](const char* path, const struct stat*, int, struct FTW*) {
    return remove(path);
  };
  if (access(scratch_path, F_OK) == 0) nftw(scratch_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct Options {
  bool run_inline = false;
  bool list = false;
  int timeout_s = 20;
  int count = 0;  // of the words below: names, and prefixes after a minus sign
  const char* words[64];
};

inline bool selected(const Options& options, const char* name) {
  bool any_name = false, named = false;
  for (int i = 0; i < options.count; i++) {
    const char* word = options.words[i];
    if (word[0] == '-') {
      if (starts_with(name, word + 1)) return false;
    } else {
      any_name = true;
      named |= strcmp(word, name) == 0;
    }
  }
  return named || !any_name;
}

// Waits until `pid` ends; false if it had to be killed. SIGCHLD is blocked in the caller.
inline bool await(pid_t pid, int timeout_s, int* status) {
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  timespec deadline, now;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += timeout_s;
  bool in_time = true;
  for (;;) {
    siginfo_t info = {};
    // WNOWAIT leaves the zombie in place: its process group cannot be reused before the kill below.
    if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid) {
      break;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (in_time && now.tv_sec >= deadline.tv_sec) {
      in_time = false;
      kill(-pid, SIGKILL);
      kill(pid, SIGKILL);
    }
    timespec pause = {0, 100 * 1000 * 1000};
    sigtimedwait(&child_ended, nullptr, &pause);
  }
  kill(-pid, SIGKILL);
  waitpid(pid, status, 0);
  return in_time;
}

inline bool run_forked(const Case& c, int timeout_s) {
  sigset_t child_ended, before;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, &before);
  pid_t pid = fork();
  if (pid == -1) {
    report("FAIL %s: fork: %s", c.name, error_name(errno));
    return false;
  }
  if (pid == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    c.body();
    _exit(failures ? 1 : 0);
  }
  setpgid(pid, pid);
  int status = 0;
  if (!await(pid, timeout_s, &status)) {
    report("FAIL %s: killed, it was still running after %d s", c.name, timeout_s);
  } else if (WIFSIGNALED(status)) {
    report("FAIL %s: killed by SIG%s", c.name, sigabbrev_np(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != 0) {
    report("FAIL %s", c.name);
  } else {
    report("ok %s", c.name);
    return true;
  }
  return false;
}

inline bool run_inline(const Case& c, int timeout_s) {
  alarm(static_cast<unsigned>(timeout_s));
  int before = failures;
  c.body();
  report("%s %s", failures == before ? "ok" : "FAIL", c.name);
  return failures == before;
}

inline int run(int argc, char** argv) {
  if (argc > 1 && argv[1][0] == '@') {
    for (Helper* h = first_helper; h; h = h->next) {
      if (strcmp(h->name, argv[1] + 1) == 0) return h->body(argc, argv);
    }
    report("no helper is called %s", argv[1]);
    return 2;
  }
  Options options;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--inline") == 0) {
      options.run_inline = true;
    } else if (strcmp(argv[i], "--list") == 0) {
      options.list = true;
    } else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc) {
      options.timeout_s = atoi(argv[++i]);
    } else if (options.count < 64) {
      options.words[options.count++] = argv[i];
    }
  }
  snprintf(scratch_path, sizeof scratch_path, "/tmp/mino-test-%d", getpid());
  int ran = 0, failed = 0;
  for (Case* c = first_case; c; c = c->next) {
    if (!selected(options, c->name)) continue;
    ran++;
    if (options.list) {
      report("%s", c->name);
    } else {
      bool good = options.run_inline ? run_inline(*c, options.timeout_s)
                                     : run_forked(*c, options.timeout_s);
      remove_scratch();
      if (!good) failed++;
    }
  }
  if (ran == 0) report("no test was selected");
  return ran == 0 ? 2 : failed ? 1 : 0;
}

}  // namespace check

#define TEST(name)                                      \
  static void test_##name();                            \
  static check::Case case_##name{#name, test_##name};   \
  static const check::AddCase add_##name{&case_##name}; \
  static void test_##name()

#define HELPER(name)                                              \
  static int helper_##name(int argc, char** argv);                \
  static check::Helper entry_##name{#name, helper_##name};        \
  static const check::AddHelper add_helper_##name{&entry_##name}; \
  static int helper_##name([[maybe_unused]] int argc, [[maybe_unused]] char** argv)

#define EXPECT(cond) check::expect(static_cast<bool>(cond), __FILE_NAME__, __LINE__, #cond)
#define EXPECT_EQ(got, expected) \
  check::expect_equal((got), (expected), __FILE_NAME__, __LINE__, #got)
#define EXPECT_TEXT(got, expected) \
  check::expect_text((got), (expected), __FILE_NAME__, __LINE__, #got)
#define EXPECT_ERR(call, code) check::expect_error((call), (code), __FILE_NAME__, __LINE__, #call)
#define OK(call) check::ok((call), __FILE_NAME__, __LINE__, #call)

// Weak, so that a program may bring a main() of its own and still call check::run().
[[gnu::weak]] int main(int argc, char** argv) {
  return check::run(argc, argv);
}
