// SPDX-License-Identifier: Apache-2.0
//
// minod: makes a device, admits clients to it, and removes it at the end. It has one thread and one
// event loop, and must never wait for a client: processes of their own serve the sessions. Exit
// status: 0 ended as asked, 1 could not serve, 2 wrong configuration.

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <filesystem>
#include <optional>

#include "abi/limits.h"
#include "base/log.h"
#include "base/parts.h"
#include "base/run_dir.h"
#include "base/version.h"
#include "daemon/admission.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/device_network.h"
#include "daemon/kernel_instance.h"
#include "daemon/resolvers.h"
#include "daemon/status.h"

namespace mino {
namespace {

constexpr int kFailed = 1, kMisconfigured = 2;

struct Options {
  std::vector<std::string> relay;
  std::string config_file, run_dir, engine, interface, address, gateway, log_level;
  bool no_nat = false, clean = false;
  int64_t instances = 0;  // 0: as the file says
  int ready_fd = -1;
};

// Tells the process that started minod how it went: `mino up` through a pipe, systemd through its
// socket (sd_notify(3)).
void announce(const Options& options, const std::string& text) {
  if (options.ready_fd >= 0) {
    (void)!::write(options.ready_fd, text.data(), text.size());
    ::close(options.ready_fd);
  }
  const char* path = ::getenv("NOTIFY_SOCKET");
  if (path == nullptr || text != "ready\n") return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t size = std::min(std::strlen(path), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path, size);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ::sendto(socket.get(), "READY=1", 7, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size));
}

int fail(const Options& options, int status, const std::string& text) {
  std::fprintf(stderr, "minod: %s\n", text.c_str());
  announce(options, std::to_string(status) + " " + text + "\n");
  return status;
}

// Applies what the command line says about the uplink.
Result<void> configure_uplink(const Options& options, Config& config) {
  if (!options.interface.empty()) config.interface = options.interface;
  if (options.address == "auto") {
    config.uplink.reset();
  } else if (!options.address.empty()) {
    auto uplink = parse_uplink(options.address, "");
    if (!uplink) return error("--address " + uplink.error().text);
    config.uplink = *uplink;
  }
  if (!options.gateway.empty()) {
    if (!config.uplink) return error("--gateway: set --address as well; \"auto\" chooses both");
    auto uplink = parse_uplink(config.uplink->device.text(), options.gateway);
    if (!uplink) return error("--gateway: " + uplink.error().text);
    config.uplink = *uplink;
  }
  if (config.interface.empty()) return {};
  const std::string what = "--interface " + config.interface + " (uplink.interface): ";
  if (config.engine != "linux") {
    return error(what + "the native engine's uplink is made by mino; use --engine linux");
  }
  if (!config.uplink) {
    return error(what +
                 "the device needs an address of that network: add --address, as 192.168.1.50/24 "
                 "(uplink.address)");
  }
  return {};
}

// Reads the file, then applies the command line.
Result<Config> configure(const Options& options) {
  Config config;
  if (!options.config_file.empty()) {
    auto read = read_config_file(options.config_file);
    if (!read) return read;
    config = std::move(*read);
  }
  if (!options.run_dir.empty()) config.run_dir = options.run_dir;
  if (config.run_dir.empty()) config.run_dir = RunDir::kDefault;
  if (!options.engine.empty()) {
    const std::string mistake = engine_mistake(options.engine);
    if (!mistake.empty()) return error("--engine " + options.engine + ": " + mistake);
    config.engine = options.engine;
  }
  if (auto done = configure_uplink(options, config); !done) return std::unexpected(done.error());
  if (options.instances != 0) config.instances = options.instances;
  if (config.engine != "linux" && config.instances != 1) {
    return error(std::string(options.instances != 0 ? "--instances" : "linux.instances") +
                 ": the native engine is the machine's own kernel, so there is one instance; use "
                 "--engine linux for more");
  }
  if (options.no_nat) config.nat = false;
  if (!options.log_level.empty()) {
    if (!is_log_level(options.log_level)) {
      return error("--log-level " + options.log_level +
                   ": use trace, debug, info, warn, error or off");
    }
    config.log_level = options.log_level;
  }
  return config;
}

// One minod per run directory. The lock is a record lock, which ends with the process and which
// forked children do not share.
Result<Fd> lock_run_dir(const RunDir& dir) {
  if (::mkdir(dir.path().c_str(), 0755) != 0 && errno != EEXIST) {
    return errno_error("cannot make the run directory " + dir.path());
  }
  struct stat about{};
  // Refuse another user's directory: its owner could replace our sockets with others.
  if (::stat(dir.path().c_str(), &about) != 0 || about.st_uid != ::geteuid()) {
    return error(dir.path() +
                 " belongs to another user; choose a directory of root's, as /run/mino");
  }
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  Fd file;
  for (int attempt = 0; attempt < 10; attempt++) {
    file = Fd(::open(dir.lock_file().c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file.valid()) return errno_error("cannot open " + dir.lock_file());
    if (::fcntl(file.get(), F_SETLK, &whole) != 0) break;
    // A minod that ended in between has removed the file that we locked. Now there is another file,
    // or none.
    struct stat named{};
    if (::fstat(file.get(), &about) == 0 && ::stat(dir.lock_file().c_str(), &named) == 0 &&
        about.st_ino == named.st_ino && about.st_dev == named.st_dev) {
      return file;
    }
  }
  struct flock holder = whole;
  ::fcntl(file.get(), F_GETLK, &holder);
  return error("another minod (pid " + std::to_string(holder.l_pid) + ") serves " + dir.path() +
               "; `mino " + dir.option() + "down` ends it");
}

// Removes everything in the directory that a device makes.
void remove_files(const RunDir& dir) {
  for (const std::string& path : {dir.session_socket(), dir.control_socket(), dir.lock_file()}) {
    ::unlink(path.c_str());
  }
  std::error_code failure;
  for (const auto& file : std::filesystem::directory_iterator(dir.path(), failure)) {
    const bool is_relay = file.path().filename().string().starts_with("dns");
    if (is_relay && file.is_socket(failure)) ::unlink(file.path().c_str());
  }
  ::rmdir(dir.root_dir().c_str());
}

void raise_file_limit() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

Fd watch_signals() {
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&watched, number);
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return Fd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<KernelInstance::Options> kernel_options(const Config& config, const RunDir& dir,
                                               const DeviceNetwork& network, size_t index,
                                               int stats) {
  const auto kernel =
      config.kernel.empty() ? find_part(Part::kKernel) : Result<std::string>(config.kernel);
  if (!kernel) return std::unexpected(kernel.error());
  const Uplink& uplink = network.uplinks()[index];
  KernelInstance::Options options;
  options.kernel = *kernel;
  options.memory_mib = config.kernel_memory;
  options.sysctls = config.sysctls;
  options.link = uplink.link;
  options.mac = uplink.mac;
  options.mtu = network.mtu();
  options.uplink = uplink.addresses;
  options.address6 = network.ipv6_digits(uplink);
  options.gateway6 = network.gateway6_digits(uplink);
  options.paths = config.policy.paths;
  options.directory = dir.path();
  options.root = dir.root_dir();
  options.stats = stats;
  return options;
}

// Serves until told to stop. When it returns, everything that it made is gone except the network.
Result<void> serve(const Options& options, const Config& config, const RunDir& dir,
                   const DeviceNetwork& network) {
  auto sessions = listen_at(dir.session_socket(), SOCK_SEQPACKET, 0666);
  if (!sessions) return std::unexpected(sessions.error());
  auto controls = listen_at(dir.control_socket(), SOCK_STREAM, 0666);
  if (!controls) return std::unexpected(controls.error());
  const Fd signals = watch_signals();
  const bool is_linux = config.engine == "linux";
  const auto engine = is_linux ? make_linux_engine() : make_native_engine();

  EventLoop loop;
  Proxies proxies(*engine, network.netns(), network.mount_ns(), dir.session_socket(),
                  config.sessions, config.most_per_user());
  // One of each per instance of the linux engine.
  std::vector<std::unique_ptr<Resolvers>> resolvers;
  std::vector<std::unique_ptr<KernelInstance>> kernels;
  for (size_t i = 0; is_linux && i < network.uplinks().size(); i++) {
    auto options = kernel_options(config, dir, network, i, proxies.table_file());
    if (!options) return std::unexpected(options.error());
    options->serves = [&proxies, &resolvers, i](int socket) {
      proxies.set_instance(i, socket);
      if (i < resolvers.size() && socket >= 0) resolvers[i]->restart();
    };
    kernels.push_back(std::make_unique<KernelInstance>(loop, std::move(*options)));
    if (auto done = kernels.back()->start(); !done) return done;
  }
  std::optional<InterfaceWatch> watch;
  if (!config.interface.empty()) {
    watch.emplace(loop, config.interface, [&kernels] {
      for (auto& kernel : kernels) kernel->renew_uplink();
    });
  }
  Admission admission(loop, std::move(*sessions), config, proxies);
  Status status(config, dir, network, proxies, kernels);
  Control control(loop, std::move(*controls), status, [&loop] { loop.stop(); });
  for (size_t i = 0; config.dns_relay && i < network.uplinks().size(); i++) {
    DevicePlace place{is_linux ? -1 : network.netns(), dir.path(), i};
    resolvers.push_back(std::make_unique<Resolvers>(loop, std::move(place)));
  }
  loop.add(signals.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    while (::read(signals.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) loop.stop();
    }
    proxies.reap([&](pid_t pid, int status) {
      for (auto& relays : resolvers) {
        if (relays->relay_ended(pid)) return true;
      }
      for (auto& kernel : kernels) {
        if (pid != kernel->pid()) continue;
        kernel->ended(status);
        return true;
      }
      return false;
    });
  });

  if (config.interface.empty()) {
    spdlog::info("the device has address {}, the host {}{}", network.uplink().device.text(),
                 ipv4_text(network.uplink().gateway), network.nat() ? ", NAT beyond it" : "");
  } else {
    spdlog::info("the device has address {} on {}", network.uplink().device.text(),
                 config.interface);
  }
  announce(options, "ready\n");
  loop.run();
  spdlog::info("going down");
  resolvers.clear();
  kernels.clear();
  proxies.stop();
  return {};
}

// Started by a minod as an offloaded program (daemon/resolvers.cc).
int relay(const Options& options) {
  std::vector<RelayPair> pairs;
  for (const std::string& text : options.relay) {
    auto pair = RelayPair::parse(text);
    if (!pair)
      return fail(options, kMisconfigured, "--relay " + text + ": not ADDRESS#PORT=ADDRESS#PORT");
    pairs.push_back(std::move(*pair));
  }
  ::prctl(PR_SET_NAME, "mino-dns");  // what `mino status` calls its session
  start_log("info");
  run_dns_relay(pairs, -1);
}

int run(const Options& options) {
  auto config = configure(options);
  if (!config) return fail(options, kMisconfigured, config.error().text);
  const auto dir = RunDir::at(config->run_dir);
  if (!dir) return fail(options, kMisconfigured, dir.error().text);
  if (::geteuid() != 0) {
    return fail(options, kFailed, "minod makes network namespaces and interfaces: run it as root");
  }
  if (options.ready_fd >= 0) ::fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC);
  start_log(config->log_level);
  raise_file_limit();
  ::umask(0022);
  auto lock = lock_run_dir(*dir);
  if (!lock) return fail(options, kFailed, lock.error().text);
  if (::chdir("/") != 0) return fail(options, kFailed, "/: " + std::string(std::strerror(errno)));

  DeviceNetwork::remove_remains(*dir);
  if (options.clean) {
    remove_files(*dir);
    return 0;
  }
  auto network = DeviceNetwork::make(*dir, *config);
  if (!network) {
    remove_files(*dir);
    return fail(options, kFailed, network.error().text);
  }
  const auto served = serve(options, *config, *dir, *network);
  network->remove();
  remove_files(*dir);
  if (!served) return fail(options, kFailed, served.error().text);
  spdlog::info("down");
  return 0;
}

}  // namespace
}  // namespace mino

int main(int argc, char** argv) {
  mino::Options options;
  CLI::App app{"minod: the device. Usually started by `mino up`, or by systemd."};
  app.set_version_flag("--version", mino::version_text("minod", mino::abi::kVersion));
  app.add_option("--config", options.config_file, "TOML file; doc/configuration.md lists the keys");
  app.add_option("--run-dir", options.run_dir, "where the sockets are (default /run/mino)");
  app.add_option("--engine", options.engine, "what executes system calls: native or linux");
  app.add_option("--instances", options.instances, "kernels of the linux engine, 1 to 16")
      ->check(CLI::Range(int64_t{1}, mino::Config::kMaxInstances));
  app.add_option("--interface", options.interface,
                 "an interface of this host as the linux engine's uplink; with --address");
  app.add_option("--address", options.address,
                 "the device's address on the uplink, as 10.213.0.2/30, or auto");
  app.add_option("--gateway", options.gateway,
                 "the host's end of the uplink; with --interface a router");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error or off");
  app.add_flag("--no-nat", options.no_nat, "the device reaches the host only");
  app.add_flag("--clean", options.clean,
               "remove what a crashed minod of this run directory left, and exit");
  app.add_option("--ready-fd", options.ready_fd)->group("");
  app.add_option("--relay", options.relay)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& mistake) {
    const int status = app.exit(mistake);
    return status == 0 ? 0 : mino::kMisconfigured;
  }
  return options.relay.empty() ? mino::run(options) : mino::relay(options);
}
