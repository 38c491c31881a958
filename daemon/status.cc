// SPDX-License-Identifier: Apache-2.0
#include "daemon/status.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mino {

using nlohmann::json;

namespace {

// A file of /proc is made anew each time it is read from its start.
std::string read_again(const Fd& file) {
  char text[4096];
  const ssize_t n = file.valid() ? ::pread(file.get(), text, sizeof text, 0) : 0;
  return std::string(text, n > 0 ? static_cast<size_t>(n) : 0);
}

json counters_json(const Counters& counters) {
  return {{"calls", counters.calls},
          {"round_trips", counters.round_trips},
          {"upcalls", counters.upcalls},
          {"bytes_in", counters.bytes_in},
          {"bytes_out", counters.bytes_out}};
}

json client_json(const SessionStats& row) {
  Counters counters;
  counters.add(row);
  json client = counters_json(counters);
  client["pid"] = row.client_pid.load();
  client["proxy_pid"] = row.proxy_pid.load();
  client["uid"] = row.uid.load();
  client["name"] = printable(std::string_view(row.name, sizeof row.name));
  client["lanes"] = row.lanes.load();
  client["instance"] = row.instance.load();
  return client;
}

}  // namespace

int64_t count_sockets(const std::string& sockstat) {
  int64_t sum = 0;
  for (const auto line : split(sockstat, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 3 || words[1] != "inuse") continue;
    const bool counts =
        words[0] == "TCP:" || words[0] == "UDP:" || words[0] == "TCP6:" || words[0] == "UDP6:";
    if (counts) sum += parse_integer(words[2], 0, INT32_MAX).value_or(0);
  }
  return sum;
}

int64_t process_memory(pid_t pid) {
  const auto rollup = read_file("/proc/" + std::to_string(pid) + "/smaps_rollup", 8192);
  if (!rollup) return 0;
  const size_t at = rollup->find("\nPss:");
  if (at == std::string::npos) return 0;
  return std::strtoll(rollup->c_str() + at + 5, nullptr, 10) * 1024;
}

Status::Status(const Config& config, const RunDir& dir, const DeviceNetwork& network,
               const Proxies& proxies, const std::vector<std::unique_ptr<KernelInstance>>& kernels)
    : config_(config), dir_(dir), network_(network), proxies_(proxies), kernels_(kernels) {
  (void)in_network(network.netns(), [this]() -> Result<void> {
    // The files belong to the network namespace of the process that opens them.
    sockstat_ = Fd(::open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC));
    sockstat6_ = Fd(::open("/proc/thread-self/net/sockstat6", O_RDONLY | O_CLOEXEC));
    return {};
  });
}

int64_t Status::sockets() const {
  return count_sockets(read_again(sockstat_)) + count_sockets(read_again(sockstat6_));
}

json Status::instance(size_t index, size_t sessions, int64_t proxy_memory) {
  const Uplink& uplink = network_.uplinks()[index];
  json instance{{"address", ipv4_text(uplink.addresses.device.address)},
                {"interface", uplink.link},
                {"sessions", sessions}};
  if (uplink.mac) instance["mac"] = mac_text(*uplink.mac);
  if (!kernels_.empty()) {
    KernelInstance& kernel = *kernels_[index];
    instance["kernel"] = kernel.release();
    instance["sockets"] = kernel.sockets();
    instance["memory_bytes"] = proxy_memory + process_memory(kernel.pid());
    instance["uptime_seconds"] = kernel.uptime().count();
    instance["pid"] = kernel.pid();
    return instance;
  }
  utsname kernel{};
  ::uname(&kernel);
  instance["kernel"] = kernel.release;
  instance["sockets"] = sockets();
  instance["memory_bytes"] = proxy_memory;
  return instance;
}

json Status::report() {
  const auto rows = proxies_.rows();
  json clients = json::array();
  const size_t count = network_.uplinks().size();
  std::vector<size_t> sessions(count, 0);
  std::vector<int64_t> memory(count, 0);
  for (const SessionStats* row : rows) {
    clients.push_back(client_json(*row));
    // The proxy writes the row, so look only at the memory of our own children.
    const size_t of = std::min<size_t>(row->instance, count - 1);
    sessions[of]++;
    if (proxies_.is_proxy(row->proxy_pid)) memory[of] += process_memory(row->proxy_pid);
  }
  json instances = json::array();
  for (size_t i = 0; i < count; i++) instances.push_back(instance(i, sessions[i], memory[i]));
  const UplinkAddresses& uplink = network_.uplink();
  json paths = config_.policy.network_paths();
  for (const std::string& path : kInstancePaths) {
    if (!kernels_.empty()) paths.push_back(path);
  }
  if (!paths.empty() && (!kernels_.empty() || ::access(kTunPath.c_str(), F_OK) == 0))
    paths.push_back(kTunPath);
  for (const std::string& path : config_.policy.paths) paths.push_back(path);
  const auto uptime = EventLoop::Clock::now() - started_;
  return {
      {"abi_version", abi::kVersion},
      {"engine", config_.engine},
      {"pid", ::getpid()},
      {"run_dir", dir_.path()},
      {"socket", dir_.session_socket()},
      {"uplink",
       {{"address", uplink.device.text()},
        {"gateway", uplink.gateway != 0 ? ipv4_text(uplink.gateway) : ""},
        {"address6", network_.uplinks()[0].ipv6},
        {"interface", network_.uplinks()[0].link},
        {"transport", kernels_.empty()            ? "veth"
                      : config_.interface.empty() ? "tap"
                                                  : "raw"},
        {"nat", network_.nat()}}},
      {"instances", instances},
      {"counters", counters_json(proxies_.counters())},
      {"clients", clients},
      {"limits",
       {{"sessions", config_.sessions},
        {"sessions_per_user", config_.most_per_user()},
        {"arena_bytes", config_.arena_bytes},
        {"lanes", config_.lanes}}},
      {"policy", {{"families", config_.policy.families}, {"paths", paths}}},
      {"uptime_seconds", std::chrono::duration_cast<std::chrono::duration<double>>(uptime).count()},
  };
}

}  // namespace mino
