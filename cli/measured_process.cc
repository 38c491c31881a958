// SPDX-License-Identifier: Apache-2.0
#include "cli/measured_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include "base/argv.h"
#include "cli/commands.h"

namespace mino {

namespace {
constexpr int kPatienceMs = 60'000;
}

MeasuredProcess::MeasuredProcess(MeasuredProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), in_(std::move(other.in_)), out_(std::move(other.out_)) {}

MeasuredProcess::~MeasuredProcess() {
  if (pid_ <= 0) return;
  in_.reset();  // it ends when its input does
  out_.reset();
  for (int i = 0; i < 200; i++) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<MeasuredProcess> MeasuredProcess::start(const std::vector<std::string>& argv) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd child_in(in[0]), child_out(out[1]);
  MeasuredProcess child;
  child.in_ = Fd(in[1]);
  child.out_ = Fd(out[0]);
  child.pid_ = ::fork();
  if (child.pid_ < 0) return errno_error("fork");
  if (child.pid_ == 0) {
    ::dup2(child_in.get(), 0);
    ::dup2(child_out.get(), 1);
    const std::vector<char*> arguments = argv_of(argv);
    ::execv(arguments[0], arguments.data());
    ::_exit(kNotStarted);
  }
  child_in.reset();
  child_out.reset();
  auto first = child.read_line();
  if (!first) return std::unexpected(first.error());
  if (*first != "ready") return error("a measured process said: " + *first);
  return child;
}

Result<std::vector<double>> MeasuredProcess::ask(const std::string& command) {
  const std::string line = command + "\n";
  if (::write(in_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return errno_error("a measured process is gone");
  }
  auto answer = read_line();
  if (!answer) return std::unexpected(answer.error());
  std::vector<double> numbers;
  const char* at = answer->c_str();
  char* end = nullptr;
  for (double value = std::strtod(at, &end); end != at; value = std::strtod(at, &end)) {
    numbers.push_back(value);
    at = end;
  }
  if (numbers.empty()) return error("a measured process said: " + *answer);
  return numbers;
}

Result<std::string> MeasuredProcess::read_line() {
  std::string line;
  char byte;
  while (true) {
    pollfd wait{out_.get(), POLLIN, 0};
    if (::poll(&wait, 1, kPatienceMs) == 0) return error("a measured process does not answer");
    const ssize_t n = ::read(out_.get(), &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error("a measured process ended early");
    if (byte == '\n') return line;
    line += byte;
  }
}

}  // namespace mino
