// SPDX-License-Identifier: Apache-2.0
//
// `mino up`: starts minod in the background and waits until the device serves. Called by main(). It
// must not report success before the device serves.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>

#include "base/argv.h"
#include "base/fd.h"
#include "base/parts.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/device_client.h"
#include "cli/progress.h"

namespace mino {

namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr off_t kMaxLog = 1 << 20;  // a longer log is put aside before a start

std::vector<std::string> minod_command(const std::string& minod, const RunDir& dir,
                                       const UpOptions& options, int ready_fd) {
  std::vector<std::string> argv{minod, "--run-dir", dir.path(), "--ready-fd",
                                std::to_string(ready_fd)};
  const auto pass = [&argv](const char* name, const std::string& value) {
    if (!value.empty()) argv.insert(argv.end(), {name, value});
  };
  pass("--config", options.config_file);
  pass("--engine", options.engine);
  pass("--interface", options.interface);
  pass("--address", options.address);
  pass("--gateway", options.gateway);
  if (options.instances != 0) pass("--instances", std::to_string(options.instances));
  if (options.no_nat) argv.emplace_back("--no-nat");
  return argv;
}

Result<Fd> open_log(const RunDir& dir) {
  if (::mkdir(dir.path().c_str(), 0755) != 0 && errno != EEXIST) {
    return errno_error("cannot make the run directory " + dir.path());
  }
  const std::string path = dir.log_file();
  struct stat about;
  if (::stat(path.c_str(), &about) == 0 && about.st_size > kMaxLog) {
    ::rename(path.c_str(), (path + ".1").c_str());
  }
  Fd log(::open(path.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!log.valid()) return errno_error("cannot open " + path);
  return log;
}

// In the child: starts a session of its own, and keeps nothing of ours but the log and the pipe.
[[noreturn]] void become_minod(const std::vector<std::string>& argv, const Fd& log, int ready_fd) {
  ::setsid();
  const Fd null(::open("/dev/null", O_RDWR));
  ::dup2(null.get(), 0);
  ::dup2(log.get(), 1);
  ::dup2(log.get(), 2);
  const auto ready = static_cast<unsigned>(ready_fd);
  if (ready > 3) ::close_range(3, ready - 1, 0);
  ::close_range(ready + 1, ~0u, 0);
  const std::vector<char*> arguments = argv_of(argv);
  ::execv(arguments[0], arguments.data());
  const std::string text = "1 cannot run " + argv[0] + ": " + std::strerror(errno) + "\n";
  (void)!::write(ready_fd, text.data(), text.size());
  ::_exit(1);
}

// `said` is "ready", or an exit status and a reason.
int conclude(const RunDir& dir, const std::string& said) {
  if (said == "ready\n") return kOk;
  const size_t blank = said.find(' ');
  const auto code = parse_integer(std::string_view(said).substr(0, blank), 1, 255);
  if (blank == std::string::npos || !code) {
    return complain(kFailed, "minod ended while it made the device; its log is " + dir.log_file());
  }
  return complain(static_cast<int>(*code), std::string(trim(said.substr(blank + 1))));
}

void print_device(const RunDir& dir, const nlohmann::json& status) {
  const auto& uplink = status["uplink"];
  std::printf("device      %s   (engine %s, run directory %s)\n",
              uplink["address"].get<std::string>().c_str(),
              status["engine"].get<std::string>().c_str(), dir.path().c_str());
  if (uplink["transport"] == "raw") {
    const std::string gateway = uplink["gateway"].get<std::string>();
    std::printf("uplink      %s, %s   (this host itself is not reached there)\n",
                uplink["interface"].get<std::string>().c_str(),
                gateway.empty() ? "no gateway" : ("gateway " + gateway).c_str());
    std::printf("log         %s\n", dir.log_file().c_str());
    return;
  }
  std::printf("host end    %s   (what offloaded programs reach this host at%s)\n",
              uplink["gateway"].get<std::string>().c_str(),
              uplink["nat"].get<bool>() ? "; NAT beyond it" : "; nothing beyond it: no NAT");
  std::printf("log         %s\n", dir.log_file().c_str());
}

int already_up(const RunDir& dir, const UpOptions& options, const nlohmann::json& status) {
  const std::string engine = status["engine"].get<std::string>();
  if (!options.engine.empty() && options.engine != engine) {
    return complain(kFailed, "a device with engine " + engine + " runs at " + dir.path() +
                                 "; end it with `mino " + dir.option() +
                                 "down`, or choose another --run-dir");
  }
  std::printf("already up\n");
  print_device(dir, status);
  return kOk;
}

}  // namespace

int up(const RunDir& dir, const UpOptions& options) {
  if (options.transport != "shm") {
    return complain(kMisused,
                    "--transport " + options.transport + " is not in this version; use shm");
  }
  auto running = ask_device(dir, "status");
  if (running) return already_up(dir, options, *running);
  if (!is_absent(running.error())) return complain(kFailed, running.error().text);
  if (::geteuid() != 0) {
    return complain(kFailed,
                    "`mino up` makes a network namespace and an interface: run it as root (sudo)");
  }
  const auto minod = find_part(Part::kMinod);
  if (!minod) return complain(kFailed, minod.error().text);
  auto log = open_log(dir);
  if (!log) return complain(kFailed, log.error().text);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return complain(kFailed, std::string("pipe: ") + std::strerror(errno));
  Fd said_fd(ends[0]), ready(::fcntl(ends[1], F_DUPFD, 3));  // without CLOEXEC
  ::close(ends[1]);
  const auto argv = minod_command(*minod, dir, options, ready.get());
  const pid_t child = ::fork();
  if (child < 0) return complain(kFailed, std::string("fork: ") + std::strerror(errno));
  if (child == 0) become_minod(argv, *log, ready.get());
  ready.reset();

  std::string said;
  if (!wait_with_progress(said_fd.get(), kPatience, "waiting for minod to make the device")) {
    return complain(kFailed, "minod (pid " + std::to_string(child) +
                                 ") is not ready after a minute; its log is " + dir.log_file());
  }
  char chunk[4096];
  ssize_t n;
  while ((n = ::read(said_fd.get(), chunk, sizeof chunk)) > 0)
    said.append(chunk, static_cast<size_t>(n));
  const int result = conclude(dir, said);
  if (result != kOk) {
    ::waitpid(child, nullptr, 0);
    return result;
  }
  auto status = ask_device(dir, "status");
  if (!status) return complain(kFailed, status.error().text);
  print_device(dir, *status);
  std::printf("try         mino %srun -- curl http://…      (mino %sstatus, mino %sdown)\n",
              dir.option().c_str(), dir.option().c_str(), dir.option().c_str());
  return kOk;
}

}  // namespace mino
