// SPDX-License-Identifier: Apache-2.0
#include "daemon/nat.h"

#include "base/log.h"
#include "base/text.h"
#include "daemon/command.h"
#include "daemon/rtnetlink.h"

namespace mino {

namespace {

constexpr const char* kForward = "/proc/sys/net/ipv4/ip_forward";
constexpr std::string_view kAliasStart = "mino forward=";

// One table per family, so that a kernel without IPv6, or without NAT in the inet family, still has
// the other.
std::string table_text(const std::string& family, const RunDir& dir,
                       const std::vector<std::string>& links,
                       const std::vector<std::string>& networks) {
  const std::string table = family + " " + dir.nft_table();
  const std::string saddr = family + " saddr { " + join(networks, ", ") + " }";
  return "add table " + table + "\ndelete table " + table + "\ntable " + table +
         " {\n  chain postrouting {\n    type nat hook postrouting priority srcnat; policy "
         "accept;\n    " +
         saddr + " oifname != { \"" + join(links, "\", \"") + "\" } masquerade\n  }\n}\n";
}

bool has_note(const std::string& alias) {
  return alias.starts_with(std::string(kAliasStart) + "0 ") ||
         alias.starts_with(std::string(kAliasStart) + "1 ");
}

}  // namespace

Result<void> add_nat(const RunDir& dir, const std::vector<std::string>& links,
                     const std::vector<std::string>& ipv4, const std::vector<std::string>& ipv6) {
  auto done = run_command({"nft", "-f", "-"}, table_text("ip", dir, links, ipv4));
  if (!done || ipv6.empty()) return done;
  return run_command({"nft", "-f", "-"}, table_text("ip6", dir, links, ipv6));
}

void remove_nat(const RunDir& dir) {
  for (const std::string family : {"ip", "ip6"}) {
    const std::string table = family + " " + dir.nft_table();
    // `add` comes first, so that deleting a table that is not there is no error.
    auto done =
        run_command({"nft", "-f", "-"}, "add table " + table + "\ndelete table " + table + "\n");
    if (!done && done.error().code == ENOENT) return;
    if (!done) spdlog::warn("cannot remove the NAT table {}: {}", table, done.error().text);
  }
}

Result<std::string> Forwarding::former(Rtnetlink& host, const RunDir& dir) {
  auto links = host.links();
  if (!links) return std::unexpected(links.error());
  for (const Link& link : *links) {
    if (has_note(link.alias) && !is_own_alias(link.alias, dir)) {
      return std::string(1, link.alias[kAliasStart.size()]);
    }
  }
  auto now = read_file(kForward);
  if (!now) return now;
  return std::string(trim(*now));
}

Result<void> Forwarding::enable() {
  auto now = read_file(kForward);
  if (now && trim(*now) == "1") return {};
  return write_file(kForward, "1");
}

void Forwarding::restore(Rtnetlink& host, const std::string& former) {
  if (former != "0") return;
  auto links = host.links();
  if (!links) return;
  for (const Link& link : *links) {
    if (has_note(link.alias)) return;  // another device needs it, and has the note
  }
  if (auto done = write_file(kForward, former); !done) {
    spdlog::warn("cannot restore net.ipv4.ip_forward to {}: {}", former, done.error().text);
  }
}

std::string link_alias(const RunDir& dir, const std::string& former_forwarding) {
  return std::string(kAliasStart) + former_forwarding.substr(0, 1) + " " + dir.path();
}

bool is_own_alias(const std::string& alias, const RunDir& dir) {
  return alias.starts_with(kAliasStart) &&
         alias.substr(std::min(alias.size(), kAliasStart.size() + 2)) == dir.path();
}

}  // namespace mino
