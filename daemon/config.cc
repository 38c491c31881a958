// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <algorithm>

#include "base/log.h"
#include "base/run_dir.h"
#include "base/settings.h"
#include "base/text.h"
#include "daemon/instance_limits.h"

namespace mino {

int64_t Config::most_per_user() const {
  if (sessions_per_user != 0) return sessions_per_user;
  const int64_t served =
      engine == "linux" ? std::min(sessions, instances * abi::kMaxInstanceSessions) : sessions;
  return served - served / 8;
}

std::string engine_mistake(const std::string& name) {
  if (name == "native" || name == "linux") return {};
  return "no such engine; use native or linux";
}

namespace {

void read_uplink(SettingsTable& table, Config& config) {
  std::string address = "auto", gateway;
  table.text("address", address, [](const std::string& value) -> std::string {
    if (value == "auto") return {};
    const auto uplink = parse_uplink(value, "");
    // The message repeats the value, which the reader has shown already.
    return uplink ? std::string() : uplink.error().text.substr(value.size() + 4);
  });
  table.text("gateway", gateway);
  if (address == "auto" && !gateway.empty()) {
    table.fail("gateway", "set uplink.address as well; \"auto\" chooses both");
  } else if (address != "auto") {
    auto uplink = parse_uplink(address, gateway);
    if (uplink) {
      config.uplink = *uplink;
    } else {
      table.fail("gateway", uplink.error().text);
    }
  }
  table.text("interface", config.interface);
  table.flag("nat", config.nat);
  table.integer("mtu", config.mtu, 1280, 65535);
  table.finish();
}

void read_limits(SettingsTable& table, Config& config) {
  table.integer("sessions", config.sessions, 1, abi::kMaxSessions);
  table.integer("sessions_per_user", config.sessions_per_user, 1, abi::kMaxSessions);
  table.integer("arena_bytes", config.arena_bytes, abi::kMinArenaBytes, abi::kMaxArenaBytes);
  table.integer("lanes", config.lanes, 1, abi::kMaxLanes);
  table.finish();
}

void read_linux(SettingsTable& table, Config& config) {
  table.text("kernel", config.kernel, [](const std::string& value) -> std::string {
    return value.empty() || value[0] == '/' ? "" : "must be an absolute path";
  });
  table.integer("memory_mib", config.kernel_memory, 64, 65536);
  table.integer("instances", config.instances, 1, Config::kMaxInstances);
  table.texts("sysctls", config.sysctls, sysctl_mistake);
  if (join(config.sysctls, ";").size() > Config::kMaxSysctlBytes)
    table.fail("sysctls", "too many; at most 1,000 bytes together");
  table.finish();
}

void read_root(SettingsTable& root, Config& config) {
  root.text("run_dir", config.run_dir, [](const std::string& value) -> std::string {
    if (value.empty() || value[0] != '/') return "must be an absolute path, as \"/run/mino\"";
    const auto dir = RunDir::at(value);
    return dir ? std::string() : dir.error().text;
  });
  root.text("engine", config.engine, engine_mistake);
  if (auto table = root.table("uplink")) read_uplink(*table, config);
  if (auto table = root.table("linux")) read_linux(*table, config);
  if (auto table = root.table("limits")) read_limits(*table, config);
  if (auto table = root.table("dns")) {
    table->flag("relay", config.dns_relay);
    table->finish();
  }
  if (auto table = root.table("policy")) read_policy(*table, config.policy);
  if (auto table = root.table("log")) {
    table->text("level", config.log_level, [](const std::string& value) -> std::string {
      return is_log_level(value) ? "" : "use trace, debug, info, warn, error or off";
    });
    table->finish();
  }
  root.finish();
}

Result<Config> read(Result<SettingsFile> file) {
  if (!file) return std::unexpected(file.error());
  Config config;
  SettingsTable root = file->root();
  read_root(root, config);
  if (file->mistake()) return std::unexpected(*file->mistake());
  return config;
}

}  // namespace

Result<Config> read_config_file(const std::string& path) {
  return read(SettingsFile::open(path));
}

Result<Config> read_config(std::string_view text, const std::string& name) {
  return read(SettingsFile::parse(text, name));
}

}  // namespace mino
