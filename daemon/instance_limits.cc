// SPDX-License-Identifier: Apache-2.0
#include "daemon/instance_limits.h"

#include <algorithm>
#include <bit>

#include "base/text.h"

namespace mino {

namespace {

constexpr int64_t kMostWords = 3;  // in a value, as of tcp_rmem

// Taken from the host as they are: what an administrator has set there, or what a newer kernel
// starts with.
constexpr const char* kAsOnTheHost[] = {"net.core.rmem_default", "net.core.wmem_default",
                                        "net.core.optmem_max", "net.core.somaxconn",
                                        "net.core.netdev_max_backlog"};

// The same, but the last number is at most this part of the instance's memory: bytes of one socket.
constexpr const char* kBuffers[] = {"net.core.rmem_max", "net.core.wmem_max", "net.ipv4.tcp_rmem",
                                    "net.ipv4.tcp_wmem"};
constexpr int64_t kBufferPart = 8;

// Numbers of things, with the most that an instance may have of them for each MiB of its memory,
// and what one takes. All of them full, and the sockets' buffers too, must leave something.
struct Number {
  const char* name;
  int64_t per_mib;
  int64_t bytes;
};
constexpr Number kNumbers[] = {{"net.ipv4.tcp_max_tw_buckets", 256, 260},
                               {"net.ipv4.tcp_max_orphans", 64, 2300},
                               {"net.ipv4.tcp_max_syn_backlog", 32, 320},
                               {"net.netfilter.nf_conntrack_max", 512, 400},
                               {"fs.file-max", 100, 1200}};  // a socket, its file and its inode

// The pages of all sockets of a protocol together: comfortable, under pressure, the most.
constexpr int64_t kPagesPart[] = {16, 12, 8};
constexpr int64_t kMiB = 1 << 20;
static_assert([] {
  int64_t bytes = 2 * kMiB / kPagesPart[2];
  for (const Number& number : kNumbers) bytes += number.per_mib * number.bytes;
  return bytes <= kMiB * 4 / 5;
}());

// What Linux gives a machine with more than 4 GiB, if the host does not track connections.
constexpr int64_t kTrackedConnections = 262144;

std::optional<std::vector<int64_t>> numbers(const std::string& value) {
  std::vector<int64_t> found;
  std::string text = value;
  std::replace(text.begin(), text.end(), '\t', ' ');
  for (const std::string_view word : split(text, ' ')) {
    if (trim(word).empty()) continue;
    const auto number = parse_integer(trim(word), 0, INT64_MAX);
    if (!number || found.size() == kMostWords) return {};
    found.push_back(*number);
  }
  if (found.empty()) return {};
  return found;
}

std::string assignment(const std::string& name, const std::vector<int64_t>& values) {
  std::vector<std::string> words;
  for (const int64_t value : values) words.push_back(std::to_string(value));
  return name + "=" + join(words, " ");
}

// A table has a power of two of buckets.
int64_t buckets(int64_t memory_mib, int64_t per_mib, int64_t most) {
  return static_cast<int64_t>(
      std::bit_floor(static_cast<uint64_t>(std::min(memory_mib * per_mib, most))));
}

}  // namespace

InstanceLimits instance_limits(int64_t memory_mib, const ReadSysctl& host,
                               const std::vector<std::string>& own) {
  InstanceLimits limits;
  // The kernel's own maxima of connections in TIME_WAIT, orphans and half-open connections follow
  // from the first, in each network namespace.
  limits.parameters = {
      "thash_entries=" + std::to_string(buckets(memory_mib, 512, 524288)),
      "uhash_entries=" + std::to_string(buckets(memory_mib, 8, 65536)),
      "nf_conntrack.hashsize=" + std::to_string(buckets(memory_mib, 128, 65536)),
  };
  const auto take = [&](const std::string& name, int64_t most, std::optional<int64_t> otherwise) {
    const auto value = host(name);
    auto found = value ? numbers(*value) : std::nullopt;
    if (!found && otherwise) found = {*otherwise};
    if (!found) return;
    for (int64_t& number : *found) number = std::min(number, most);
    limits.sysctls.push_back(assignment(name, *found));
  };
  for (const char* name : kAsOnTheHost) take(name, INT64_MAX, {});
  for (const char* name : kBuffers) take(name, (memory_mib << 20) / kBufferPart, {});
  for (const Number& number : kNumbers) {
    const bool tracked = std::string_view(number.name).ends_with("conntrack_max");
    take(number.name, memory_mib * number.per_mib,
         tracked ? std::optional(kTrackedConnections) : std::nullopt);
  }
  const int64_t pages = memory_mib * 256;
  for (const char* name : {"net.ipv4.tcp_mem", "net.ipv4.udp_mem"})
    limits.sysctls.push_back(
        assignment(name, {pages / kPagesPart[0], pages / kPagesPart[1], pages / kPagesPart[2]}));
  limits.sysctls.insert(limits.sysctls.end(), own.begin(), own.end());
  return limits;
}

std::optional<std::string> read_host_sysctl(const std::string& name) {
  std::string path = name;
  std::replace(path.begin(), path.end(), '.', '/');
  auto value = read_file("/proc/sys/" + path, 256);
  if (!value) return {};
  return std::string(trim(*value));
}

std::string sysctl_mistake(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == 0 || equals == std::string::npos)
    return "write NAME=VALUE, as \"net.core.somaxconn=8192\"";
  const auto name = std::string_view(assignment).substr(0, equals);
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && !std::string_view("._-/").contains(c))
      return "a sysctl's name holds letters, digits, '.', '_', '-' and '/'";
  }
  if (name.find("..") != name.npos || name.front() == '.' || name.front() == '/')
    return "write the name as sysctl(8) does";
  for (const char c : assignment) {
    if (c == ';' || c == '"' || c < ' ' || c > '~')
      return "a value holds no quotes, semicolons or control characters";
  }
  return {};
}

}  // namespace mino
