// SPDX-License-Identifier: Apache-2.0
#include "daemon/resolvers.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "daemon/dns_relay.h"

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

Resolvers::Resolvers(EventLoop& loop, int netns, std::string path)
    : loop_(loop),
      netns_(netns),
      path_(std::move(path)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (inotify_.valid()) {
    watch();
    loop_.add(inotify_.get(), EPOLLIN, [this](uint32_t) {
      char events[4096];
      while (::read(inotify_.get(), events, sizeof events) > 0) {
      }
      // A file is rarely changed in one step: look when it has come to rest.
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

// The directories of the file and of what it links to: files there are replaced rather than
// written. Adding a watch that exists changes nothing.
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
  if (servers == servers_ && relay_ != 0) return;
  if (servers.empty() && relay_ == 0) return;
  servers_ = std::move(servers);
  stop();
  if (!servers_.empty()) start();
}

void Resolvers::start() {
  const pid_t child = ::fork();
  if (child == 0) run_dns_relay(servers_, netns_);
  if (child < 0) return spdlog::error("cannot start the DNS relay: {}", std::strerror(errno));
  relay_ = child;
  spdlog::info("names: relaying {} (process {})", join(servers_, ", "), child);
}

void Resolvers::stop() {
  if (relay_ == 0) return;
  ::kill(relay_, SIGKILL);
  ::waitpid(relay_, nullptr, 0);
  relay_ = 0;
}

void Resolvers::relay_ended() {
  spdlog::warn("the DNS relay (process {}) ended; starting another one in 2 seconds", relay_);
  relay_ = 0;
  loop_.after(std::chrono::seconds(2), [this] { refresh(); });
}

}  // namespace mino
