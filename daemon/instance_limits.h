// SPDX-License-Identifier: Apache-2.0
//
// The limits of a kernel instance. By itself a kernel sizes its tables and buffers by its memory,
// which programs share with them on a machine. An instance runs no programs: its few hundred MiB
// are for the network alone. So its limits are those of the host, or of a server with some
// gigabytes, as far as its memory carries them. Used by daemon/kernel_instance. Must never change
// anything on the host.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mino {

struct InstanceLimits {
  std::vector<std::string> parameters;  // of the kernel's command line: sizes of hash tables
  std::vector<std::string> sysctls;     // "NAME=VALUE", for init to write in this order
};

// The value of a sysctl, for instance "net.ipv4.tcp_rmem", or nothing.
using ReadSysctl = std::function<std::optional<std::string>(const std::string& name)>;

// `own` are those of the configuration. They come last, and so win.
InstanceLimits instance_limits(int64_t memory_mib, const ReadSysctl& host,
                               const std::vector<std::string>& own);

// A value of this machine's own kernel, in the network namespace of the caller.
std::optional<std::string> read_host_sysctl(const std::string& name);

// What is wrong with "NAME=VALUE" in a configuration, or "". The kernel knows more: init logs what
// it refuses.
std::string sysctl_mistake(const std::string& assignment);

}  // namespace mino
