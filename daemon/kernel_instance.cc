// SPDX-License-Identifier: Apache-2.0
#include "daemon/kernel_instance.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <utility>

#include "base/argv.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/confine.h"
#include "daemon/instance_limits.h"
#include "daemon/namespaces.h"

namespace mino {

namespace {

constexpr std::chrono::seconds kBootPatience{30}, kAnswerPatience{1}, kRetryPause{3};
constexpr int kSocketNumber = 3, kStatsNumber = 4, kUplinkNumber = 5;  // in the instance
constexpr size_t kMaxLine = 1000;

std::string hex(uint32_t address) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", address);
  return text;
}

// What an instance may see of this machine: what it needs to run, and what it is to serve. It opens
// its clients' files as root, so a symbolic link must not lead it anywhere else.
std::vector<VisiblePath> visible_paths(const KernelInstance::Options& options) {
  std::vector<VisiblePath> paths{
      {options.kernel, false},  {options.directory, true}, {"/dev/null", true}, {"/dev/shm", true},
      {"/proc/cpuinfo", false}, {"/proc/self/fd", false}};  // its own, for hostfs
  if (!options.mac) paths.push_back({"/dev/net/tun", true});
  for (const char* path : {"/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"}) {
    if (::access(path, F_OK) == 0) paths.push_back({path, false});
  }
  for (const std::string& path : options.paths) {
    if (!path.starts_with("/proc/") && !path.starts_with("/sys/")) paths.push_back({path, true});
  }
  return paths;
}

// Leaves enough for a tap and for the files of all users, but not enough to look into other
// processes or to make device nodes on this machine.
void drop_capabilities(bool has_tap) {
  capng_clear(CAPNG_SELECT_BOTH);
  for (const int capability :
       {CAP_NET_ADMIN, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID}) {
    if (capability == CAP_NET_ADMIN && !has_tap) continue;
    capng_update(CAPNG_ADD,
                 static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
                 static_cast<unsigned>(capability));
  }
  capng_apply(CAPNG_SELECT_BOTH);
}

// Runs in the child. It keeps the console and the instance's few descriptors, and nothing else of
// minod.
[[noreturn]] void become_kernel(const std::vector<std::string>& arguments, const Fd& console,
                                const Fd& socket, const Fd& stats, const Fd& uplink,
                                const KernelInstance::Options& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int number = 1; number < NSIG; number++) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();  // a terminal's signals are not for it
  // Otherwise the distance from the binary to its randomised heap counts as memory of the instance.
  ::personality(ADDR_NO_RANDOMIZE);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // First move them away from the numbers that they are to have.
  const int from[] = {null.get(),   console.get(), console.get(),
                      socket.get(), stats.get(),   uplink.get()};
  const int count = uplink.valid() ? kUplinkNumber + 1 : kUplinkNumber;
  int moved[kUplinkNumber + 1];
  for (int i = 0; i < count; i++) moved[i] = ::fcntl(from[i], F_DUPFD_CLOEXEC, 10);
  for (int i = 0; i < count; i++) ::dup2(moved[i], i);
  close_others(uplink.valid() ? std::vector{kSocketNumber, kStatsNumber, kUplinkNumber}
                              : std::vector{kSocketNumber, kStatsNumber});
  if (auto done = enter_own_root(options.root, visible_paths(options)); !done) {
    std::fprintf(stderr, "%s\n", done.error().text.c_str());
    ::_exit(127);
  }
  drop_capabilities(!options.mac);
  // Each file that a client holds open in a served directory is a descriptor here.
  rlimit files;
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // cleared by the change of capabilities
  ::setenv("HOME", options.directory.c_str(), 1);
  ::setenv("TMPDIR", "/dev/shm", 1);
  const std::vector<char*> argv = argv_of(arguments);
  ::execv(argv[0], argv.data());
  std::fprintf(stderr, "cannot run %s: %s\n", argv[0], std::strerror(errno));
  ::_exit(127);
}

}  // namespace

KernelInstance::~KernelInstance() {
  stop();
}

void KernelInstance::stop() {
  if (console_.valid()) loop_.remove(console_.get());
  console_.reset();
  options_.serves(-1);
  socket_.reset();
  uplink_.reset();
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

// The folder where User Mode Linux keeps its process number and a console for its manager, which
// nobody uses.
std::string KernelInstance::own_folder() const {
  return "kernel-" + hex(options_.uplink.device.address);
}

std::vector<std::string> KernelInstance::arguments(int socket, int stats) const {
  const Options& o = options_;
  const std::string transport =
      o.mac ? "raw,fd=" + std::to_string(kUplinkNumber) + ",mac=" + mac_text(*o.mac)
            : "tap,ifname=" + o.link;
  std::vector<std::string> list{
      o.kernel,
      "mem=" + std::to_string(o.memory_mib) + "M",
      "uml_dir=" + o.directory + "/",
      "umid=" + own_folder(),
      "con=null",
      "con0=null,fd:1",
      "quiet",
      "dummy.numdummies=0",
      "ifb.numifbs=0",
      "bonding.max_bonds=0",
      "fb_tunnels=none",
      "panic=-1",
      "usrcall.socket=" + std::to_string(socket),
      "usrcall.stats=" + std::to_string(stats),
      "vec0:transport=" + transport + ",depth=128,gro=1,mtu=" + std::to_string(o.mtu),
      "mino_address=" + hex(o.uplink.device.address) + "/" + std::to_string(o.uplink.device.prefix),
      "mino_mtu=" + std::to_string(o.mtu),
  };
  const InstanceLimits limits = instance_limits(o.memory_mib, read_host_sysctl, o.sysctls);
  list.insert(list.end(), limits.parameters.begin(), limits.parameters.end());
  list.push_back("mino_sysctls=\"" + join(limits.sysctls, ";") + "\"");
  if (o.uplink.gateway != 0) list.push_back("mino_gateway=" + hex(o.uplink.gateway));
  if (!o.address6.empty()) list.push_back("mino_address6=" + o.address6);
  if (!o.gateway6.empty()) list.push_back("mino_gateway6=" + o.gateway6);
  if (!o.paths.empty()) list.push_back("mino_paths=" + join(o.paths, ":"));
  return list;
}

Result<void> KernelInstance::start() {
  if (::access(options_.kernel.c_str(), X_OK) != 0) {
    return error("the linux engine's kernel is not at " + options_.kernel + "; build it with " +
                 build_command() +
                 ", set linux.kernel in minod's configuration, or use --engine native");
  }
  if (options_.mac) {
    auto opened = open_packet_socket(options_.link, *options_.mac);
    if (!opened) return std::unexpected(opened.error());
    uplink_ = std::move(*opened);
  }
  int sockets[2], console[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return errno_error("instance socket");
  Fd ours(sockets[0]), theirs(sockets[1]);
  if (::pipe2(console, O_CLOEXEC) != 0) return errno_error("console of the kernel instance");
  Fd output(console[0]), input(console[1]);
  const Fd stats(::fcntl(options_.stats, F_DUPFD_CLOEXEC, 0));
  const auto argv = arguments(kSocketNumber, kStatsNumber);
  if (::mkdir(options_.root.c_str(), 0700) != 0 && errno != EEXIST)
    return errno_error("cannot make " + options_.root);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork of the kernel instance");
  if (child == 0) become_kernel(argv, input, theirs, stats, uplink_, options_);
  pid_ = child;
  socket_ = std::move(ours);
  theirs.reset();
  input.reset();
  watch_console(std::move(output));
  usrcall_command ready;
  const auto serves = receive(USRCALL_READY, ready, kBootPatience);
  ::rmdir(options_.root.c_str());  // it was only a place to mount on
  std::error_code failure;
  std::filesystem::remove_all(options_.directory + "/" + own_folder(), failure);
  if (!serves) {
    read_console();
    stop();
    return serves;
  }
  release_.assign(ready.text, ::strnlen(ready.text, sizeof ready.text));
  started_ = EventLoop::Clock::now();
  options_.serves(socket_.get());
  spdlog::info("kernel {} runs in process {}", printable(release_), pid_);
  return {};
}

std::string KernelInstance::build_command() const {
  return "`kernel/build.sh --output " + options_.kernel.substr(0, options_.kernel.rfind('/')) + "`";
}

Result<void> KernelInstance::receive(uint32_t type, usrcall_command& command,
                                     std::chrono::milliseconds patience) {
  constexpr ssize_t kHead = offsetof(usrcall_command, id);  // type and version: in every version
  const auto until = EventLoop::Clock::now() + patience;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - EventLoop::Clock::now());
    pollfd readable{socket_.get(), POLLIN, 0};
    const int n = ::poll(&readable, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (n < 0 && errno == EINTR) continue;
    const ssize_t got =
        n == 1 ? ::recv(socket_.get(), &command, sizeof command, MSG_DONTWAIT | MSG_TRUNC) : 0;
    if (got >= kHead && command.version != USRCALL_VERSION) {
      return error("the kernel at " + options_.kernel + " speaks version " +
                   std::to_string(command.version) + " of the driver's messages, minod version " +
                   std::to_string(USRCALL_VERSION) +
                   ": build it again, from minod's sources, with " + build_command());
    }
    if (got != sizeof command)
      return error("the kernel instance did not boot; minod's log has its last words");
    if (command.type == type) return {};
  }
}

int64_t KernelInstance::sockets() {
  usrcall_command command{};
  command.type = USRCALL_REPORT;
  command.version = USRCALL_VERSION;
  if (!socket_.valid() ||
      ::send(socket_.get(), &command, sizeof command, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return -1;
  }
  return receive(USRCALL_REPORT, command, kAnswerPatience) ? static_cast<int64_t>(command.id) : -1;
}

void KernelInstance::watch_console(Fd console) {
  ::fcntl(console.get(), F_SETFL, O_NONBLOCK);
  console_ = std::move(console);
  loop_.add(console_.get(), EPOLLIN, [this](uint32_t) { read_console(); });
}

// The kernel's log, line by line. Programs may write to it too: printable().
void KernelInstance::read_console() {
  char chunk[4096];
  ssize_t n;
  while ((n = ::read(console_.get(), chunk, sizeof chunk)) > 0) {
    for (ssize_t i = 0; i < n; i++) {
      if (chunk[i] != '\n' && line_.size() < kMaxLine) {
        if (chunk[i] != '\r') line_ += chunk[i];
        continue;
      }
      if (!line_.empty()) spdlog::info("kernel: {}", printable(line_));
      line_.clear();
    }
  }
  if (n == 0) {
    loop_.remove(console_.get());
    console_.reset();
  }
}

void KernelInstance::ended(int status) {
  const pid_t pid = std::exchange(pid_, 0);
  if (console_.valid()) read_console();
  if (WIFSIGNALED(status)) {
    spdlog::error("the kernel instance in process {} died by signal {}; starting another one", pid,
                  WTERMSIG(status));
  } else {
    spdlog::error("the kernel instance in process {} ended with status {}; starting another one",
                  pid, WEXITSTATUS(status));
  }
  stop();
  if (EventLoop::Clock::now() - started_ > std::chrono::seconds(1)) return start_again();
  loop_.after(std::chrono::seconds(1), [this] { start_again(); });
}

void KernelInstance::renew_uplink() {
  if (!uplink_.valid()) return;
  if (auto done = attach_packet_socket(uplink_, options_.link, *options_.mac); !done)
    spdlog::error("{}", done.error().text);
}

void KernelInstance::start_again() {
  const auto done = start();
  if (done) return;
  spdlog::error("{}; trying again in {} s", done.error().text, kRetryPause.count());
  loop_.after(kRetryPause, [this] { start_again(); });
}

}  // namespace mino
