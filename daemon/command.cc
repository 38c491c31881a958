// SPDX-License-Identifier: Apache-2.0
#include "daemon/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/argv.h"
#include "base/fd.h"
#include "base/text.h"

namespace mino {

namespace {

constexpr int kPatienceMs = 10'000;

// The tool must receive the signals that minod reads through a signalfd.
void become(const std::vector<std::string>& argv, int input, int output) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  const std::vector<char*> arguments = argv_of(argv);
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  ::execvp(arguments[0], arguments.data());
  ::_exit(errno == ENOENT ? 127 : 126);
}

}  // namespace

Result<void> run_command(const std::vector<std::string>& argv, const std::string& input) {
  // Memory files instead of pipes, so that neither side can fill one up and wait for the other.
  Fd in(::memfd_create("input", MFD_CLOEXEC)), out(::memfd_create("output", MFD_CLOEXEC));
  if (!in.valid() || !out.valid()) return errno_error("memfd_create");
  if (::write(in.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
    return errno_error("memfd");
  }
  ::lseek(in.get(), 0, SEEK_SET);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) become(argv, in.get(), out.get());
  Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd wait{handle.get(), POLLIN, 0};
  if (handle.valid() && ::poll(&wait, 1, kPatienceMs) == 0) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    return std::unexpected(Error{argv[0] + " is not installed", ENOENT});
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
    return error(argv[0] + " cannot be executed");
  char said[2048];
  const ssize_t n = ::pread(out.get(), said, sizeof said, 0);
  std::string text(trim(std::string_view(said, n > 0 ? static_cast<size_t>(n) : 0)));
  if (WIFSIGNALED(status)) text += " (ended by signal " + std::to_string(WTERMSIG(status)) + ")";
  return error(argv[0] + ": " + text);
}

}  // namespace mino
