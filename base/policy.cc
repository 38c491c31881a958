// SPDX-License-Identifier: Apache-2.0
#include "base/policy.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <filesystem>

namespace mino {

const std::vector<std::string> kInstancePaths{"/run/netns", "/var/run/netns", "/dev/ppp",
                                              "/sys/devices/platform/uml-vector.0"};
const std::string kTunPath = "/dev/net/tun";

const std::vector<int> kNetworkNetlinks{NETLINK_ROUTE,      NETLINK_SOCK_DIAG, NETLINK_XFRM,
                                        NETLINK_FIB_LOOKUP, NETLINK_NETFILTER, NETLINK_GENERIC};

const std::vector<std::string>& Policy::network_paths() const {
  static const std::vector<std::string> none,
      all{"/proc/net", "/proc/self/net", "/proc/thread-self/net", "/proc/sys/net",
          "/sys/class/net"};
  return families.empty() ? none : all;
}

std::optional<int> family_number(std::string_view name) {
  if (name == "inet") return AF_INET;
  if (name == "inet6") return AF_INET6;
  if (name == "packet") return AF_PACKET;
  if (name == "netlink") return AF_NETLINK;
  if (name == "can") return AF_CAN;
  if (name == "key") return AF_KEY;
  if (name == "pppox") return AF_PPPOX;
  return {};
}

namespace {

std::string path_mistake(const std::string& path) {
  if (path.empty() || path[0] != '/') return "a path starts with /";
  if (path == "/" || path == "/proc" || path == "/sys") {
    return "too wide: the program's own files must stay on the host; name a directory below it";
  }
  if (std::filesystem::path(path).lexically_normal().string() != path || path.back() == '/') {
    return "write it without '.', '..', '//' and a final '/'";
  }
  if (path.find_first_of(";:\n") != std::string::npos)
    return "it cannot hold ';', ':' or a line break";
  return {};
}

}  // namespace

void read_policy(SettingsTable& table, Policy& policy) {
  table.texts("families", policy.families, [](const std::string& name) -> std::string {
    if (family_number(name)) return {};
    return "not an address family that can be offloaded; use inet, inet6, packet, netlink, can, "
           "key "
           "or pppox";
  });
  table.texts("paths", policy.paths, path_mistake);
  table.finish();
}

Result<Policy> read_policy_file(const std::string& path) {
  auto file = SettingsFile::open(path);
  if (!file) return std::unexpected(file.error());
  Policy policy;
  SettingsTable root = file->root();
  if (auto table = root.table("policy")) read_policy(*table, policy);
  root.finish();
  if (auto mistake = file->mistake()) return std::unexpected(*mistake);
  return policy;
}

}  // namespace mino
