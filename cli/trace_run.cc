// SPDX-License-Identifier: Apache-2.0
#include "cli/trace_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>

#include "abi/trace.h"
#include "cli/trace.h"

namespace mino {

namespace {

constexpr int kHighFd = 900;  // the number of the program's end, if its limit allows

pid_t forward_to = 0;
void forward(int number) {
  ::kill(forward_to, number);
}

// Ends in the way that the program ended: by the same signal, if it was one.
[[noreturn]] void end_like(int status) {
  if (WIFSIGNALED(status)) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(WTERMSIG(status), SIG_DFL);
    sigset_t all;
    ::sigemptyset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::raise(WTERMSIG(status));
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// Prints all records that are there. Returns false at the end of the stream.
bool print_records(int socket) {
  alignas(abi::TraceHeader) uint8_t record[abi::kMaxTraceRecord];
  while (true) {
    const ssize_t n = ::recv(socket, record, sizeof record, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    const std::string line = trace_line({record, static_cast<size_t>(n)});
    if (!line.empty()) std::fprintf(stderr, "%s\n", line.c_str());
  }
}

}  // namespace

Result<TraceRun> TraceRun::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return errno_error("socketpair");
  TraceRun run;
  run.tracer_end_ = Fd(ends[0]);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  const auto limit = static_cast<int>(std::min<rlim_t>(files.rlim_cur, 1 << 20));
  run.program_end_ = ::fcntl(ends[1], F_DUPFD, std::min(kHighFd, limit - 1));
  if (run.program_end_ < 0) run.program_end_ = ::fcntl(ends[1], F_DUPFD, 3);
  ::close(ends[1]);
  if (run.program_end_ < 0) return errno_error("cannot place the trace socket");
  return run;
}

void TraceRun::fork_tracer() {
  const pid_t child = ::fork();
  if (child > 0) {
    ::close(program_end_);
    follow(child);
  }
  tracer_end_.reset();
}

void TraceRun::follow(pid_t program) {
  // Signals from the terminal reach the program directly. Those sent to this process are passed on.
  forward_to = program;
  for (const int number : {SIGINT, SIGQUIT, SIGPIPE}) ::signal(number, SIG_IGN);
  for (const int number : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) ::signal(number, forward);
  ::setvbuf(stderr, nullptr, _IOLBF, 8192);  // a line is one write
  bool more = true;
  while (more) {
    // Until everybody has closed the socket: processes that the program started may outlive it, as
    // with strace -f.
    pollfd wait{tracer_end_.get(), POLLIN, 0};
    if (::poll(&wait, 1, -1) < 0 && errno != EINTR) break;
    more = print_records(tracer_end_.get());
  }
  int status = 0;
  while (::waitpid(program, &status, 0) < 0) {
    if (errno != EINTR) ::_exit(1);
  }
  end_like(status);
}

}  // namespace mino
