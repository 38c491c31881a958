// SPDX-License-Identifier: Apache-2.0
//
// minod's configuration: a TOML file in which every key is optional (doc/configuration.md lists
// them). Used by minod's main(). Reading it must never touch the system, so that a wrong
// configuration leaves nothing behind.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "abi/limits.h"
#include "base/error.h"
#include "base/policy.h"
#include "daemon/address.h"

namespace mino {

struct Config {
  std::string run_dir;  // empty: the default
  std::string engine = "native";
  std::string kernel;                // of the linux engine; empty: the one of base/parts.h
  int64_t kernel_memory = 512;       // MiB
  std::vector<std::string> sysctls;  // of the linux engine's kernels, "NAME=VALUE"
  static constexpr int64_t kMaxInstances = 16;
  static constexpr size_t kMaxSysctlBytes = 1000;  // they are on the kernel's command line
  int64_t instances = 1;                           // kernels, of the linux engine
  std::string interface;                  // of the host, used as the uplink; empty: one is made
  std::optional<UplinkAddresses> uplink;  // nothing: "auto"
  bool nat = true;
  int64_t mtu = 0;                            // 0: that of the host's default route
  int64_t sessions = 256;                     // clients at a time
  int64_t sessions_per_user = 0;              // 0: seven eighths of what the device can have
  int64_t arena_bytes = abi::kMaxArenaBytes;  // largest arena that a client may ask for
  int64_t lanes = abi::kMaxLanes;             // threads of one client in calls at once
  bool dns_relay = true;
  Policy policy;
  std::string log_level = "info";

  int64_t most_per_user() const;  // sessions_per_user, or what it is by default
};

Result<Config> read_config_file(const std::string& path);
Result<Config> read_config(std::string_view text, const std::string& name);

// What is wrong with the name of an engine, or "".
std::string engine_mistake(const std::string& name);

}  // namespace mino
