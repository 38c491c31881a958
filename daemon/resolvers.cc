// SPDX-License-Identifier: Apache-2.0
#include "daemon/resolvers.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/argv.h"
#include "base/log.h"
#include "base/parts.h"
#include "base/text.h"
#include "daemon/confine.h"

namespace mino {

std::vector<std::string> loopback_resolvers(std::string_view resolv_conf) {
  constexpr size_t kMaxServers = 3;  // MAXNS: the resolver looks at no more
  std::vector<std::string> servers;
  size_t seen = 0;
  for (std::string_view line : split(resolv_conf, '\n')) {
    line = trim(line);
    if (!line.starts_with("nameserver")) continue;
    line.remove_prefix(std::string_view("nameserver").size());
    if (line.empty() || (line[0] != ' ' && line[0] != '\t')) continue;
    line = trim(line);
    const std::string server(line.substr(0, line.find_first_of(" \t#;")));
    if (++seen > kMaxServers) break;
    in_addr v4{};
    in6_addr v6{};
    const bool loops =
        (::inet_pton(AF_INET, server.c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) ||
        (::inet_pton(AF_INET6, server.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
    if (loops && std::find(servers.begin(), servers.end(), server) == servers.end())
      servers.push_back(server);
  }
  if (seen == 0) servers.emplace_back("127.0.0.1");
  return servers;
}

Resolvers::Resolvers(EventLoop& loop, DevicePlace place, std::string path)
    : loop_(loop),
      place_(std::move(place)),
      path_(std::move(path)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (inotify_.valid()) {
    watch();
    loop_.add(inotify_.get(), EPOLLIN, [this](uint32_t) {
      char events[4096];
      while (::read(inotify_.get(), events, sizeof events) > 0) {
      }
      // A file is rarely changed in one step, so wait until the changes have ended.
      if (refresh_due_) return;
      refresh_due_ = true;
      loop_.after(std::chrono::milliseconds(300), [this] {
        refresh_due_ = false;
        watch();
        refresh();
      });
    });
  } else {
    spdlog::warn("changes of {} will not be seen: {}", path_, std::strerror(errno));
  }
  refresh();
}

Resolvers::~Resolvers() {
  if (inotify_.valid()) loop_.remove(inotify_.get());
  stop();
}

// Watches the directories of the file and of what it links to, since files there are replaced
// rather than written. Adding a watch that exists changes nothing.
void Resolvers::watch() {
  std::error_code failure;
  const std::filesystem::path named(path_), real = std::filesystem::canonical(named, failure);
  constexpr uint32_t kMask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE;
  ::inotify_add_watch(inotify_.get(), named.parent_path().c_str(), kMask);
  if (!failure && real != named)
    ::inotify_add_watch(inotify_.get(), real.parent_path().c_str(), kMask);
}

void Resolvers::refresh() {
  const auto text = read_file(path_);
  auto servers = loopback_resolvers(text ? *text : "");
  if (servers == servers_ && !relays_.empty()) return;
  if (servers.empty() && relays_.empty()) return;
  servers_ = std::move(servers);
  restart();
}

void Resolvers::restart() {
  stop();
  if (!servers_.empty()) start();
}

void Resolvers::start() {
  constexpr uint16_t kPort = 53;
  std::vector<RelayPair> here, there;
  for (const std::string& server : servers_) {
    if (place_.netns >= 0) {
      here.push_back({server, kPort, server, kPort});
      continue;
    }
    const std::string between = place_.run_dir + "/dns" + std::to_string(place_.instance);
    const auto number = static_cast<uint16_t>(1 + here.size());
    here.push_back({between, number, server, kPort});
    there.push_back({server, kPort, between, number});
  }
  relays_.push_back(start_relay(here, place_.netns));
  if (!there.empty()) relays_.push_back(start_offloaded_relay(there));
  if (std::erase_if(relays_, [](pid_t pid) { return pid < 0; }) != 0)
    spdlog::error("cannot start the DNS relay: {}", std::strerror(errno));
  for (const pid_t relay : relays_)
    spdlog::info("names: relaying {} (process {})", join(servers_, ", "), relay);
}

pid_t Resolvers::start_relay(const std::vector<RelayPair>& pairs, int netns) {
  const pid_t child = fork_keeping({netns});
  if (child == 0) run_dns_relay(pairs, netns);
  return child;
}

// Starts minod itself under `mino run`, so that its sockets are on the device.
pid_t Resolvers::start_offloaded_relay(const std::vector<RelayPair>& pairs) {
  const auto mino = find_part(Part::kMino), minod = find_part(Part::kMinod);
  for (const auto* part : {&mino, &minod}) {
    if (*part) continue;
    spdlog::error("names: {}", part->error().text);
    errno = ENOENT;
    return -1;
  }
  std::vector<std::string> arguments{*mino, "--run-dir",  place_.run_dir,
                                     "run", "--instance", std::to_string(place_.instance),
                                     "--",  *minod};
  for (const RelayPair& pair : pairs) arguments.insert(arguments.end(), {"--relay", pair.text()});
  const pid_t child = fork_keeping({});
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const std::vector<char*> argv = argv_of(arguments);
  ::execv(argv[0], argv.data());
  std::fprintf(stderr, "cannot run %s: %s\n", argv[0], std::strerror(errno));
  ::_exit(1);
}

void Resolvers::stop() {
  for (const pid_t relay : relays_) {
    ::kill(relay, SIGKILL);
    ::waitpid(relay, nullptr, 0);
  }
  relays_.clear();
}

bool Resolvers::relay_ended(pid_t pid) {
  if (std::erase(relays_, pid) == 0) return false;
  spdlog::warn("a DNS relay (process {}) ended; starting another one in 2 seconds", pid);
  loop_.after(std::chrono::seconds(2), [this] { restart(); });
  return true;
}

}  // namespace mino
