// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/nat.h"
#include "daemon/rtnetlink.h"

namespace mino {

namespace {

constexpr const char* kDeviceLink = "eth0";  // what programs on a machine with one interface expect

// Held while the network of the host is changed. Devices that start or stop at the same time then
// choose different addresses and agree about ip_forward. The lock is on the namespace itself, so it
// leaves no file behind.
class HostNetworkLock {
 public:
  HostNetworkLock() : file_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    // Anyone may lock this file, so never wait for it without a limit.
    for (int attempt = 0; attempt < 100; attempt++) {
      if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) return;
      ::poll(nullptr, 0, 100);
    }
    spdlog::warn(
        "another process holds the lock on the host's network namespace; going on without it");
  }

 private:
  Fd file_;
};

std::array<uint8_t, 4> bytes_of(uint32_t address) {
  return {static_cast<uint8_t>(address >> 24), static_cast<uint8_t>(address >> 16),
          static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
}

// A unique local address (RFC 4193) per device: fd6d:696e:6f00:<low half of the IPv4
// network>::<host>.
std::array<uint8_t, 16> ipv6_bytes(const UplinkAddresses& uplink, uint8_t host) {
  const uint32_t net = uplink.device.network();
  return {0xfd,
          0x6d,
          0x69,
          0x6e,
          0x6f,
          0,
          static_cast<uint8_t>(net >> 8),
          static_cast<uint8_t>(net),
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          host};
}

std::string ipv6_text(const std::array<uint8_t, 16>& bytes) {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
}

// The largest packet that leaves the host unfragmented. Larger ones would cost a round of path MTU
// discovery, or get lost.
int host_mtu(Rtnetlink& host) {
  constexpr uint32_t kLeast = 1280, kUsual = 1500;
  const int index = host.default_route_link(AF_INET);
  const auto links = host.links();
  for (const Link& link : links.value_or(std::vector<Link>())) {
    if (link.index == index) return static_cast<int>(std::max(link.mtu, kLeast));
  }
  return kUsual;
}

std::string boot_id() {
  auto id = read_file("/proc/sys/kernel/random/boot_id");
  return id ? std::string(trim(*id)) : "";
}

void copy_to_device(const char* path, const Result<std::string>& value) {
  if (!value) return;
  if (auto done = write_file(path, *value); !done) spdlog::warn("{}", done.error().text);
}

}  // namespace

Result<DeviceNetwork> DeviceNetwork::make(const RunDir& dir, const Config& config) {
  std::vector<std::string> paths = config.policy.paths;
  if (::access(kTunPath.c_str(), F_OK) == 0) paths.push_back(kTunPath);
  auto namespaces = make_namespaces(dir, paths);
  if (!namespaces) return std::unexpected(namespaces.error());
  DeviceNetwork network(dir);
  network.namespaces_ = std::move(*namespaces);
  if (auto done = network.build(config); !done) {
    network.remove();
    return std::unexpected(done.error());
  }
  return network;
}

Result<void> DeviceNetwork::build(const Config& config) {
  HostNetworkLock lock;
  auto host = Rtnetlink::open();
  if (!host) return std::unexpected(host.error());
  if (!config.interface.empty()) return use_interface(config, *host);
  if (auto done = choose_addresses(config, *host); !done) return done;
  const bool wants_nat = config.nat && host->default_route_link(AF_INET) != 0;
  Result<std::string> former = std::string(Forwarding::kUntouched);
  if (wants_nat) former = Forwarding::former(*host, dir_);
  if (!former) return std::unexpected(former.error());
  if (auto done = note_former(*former); !done) return done;
  mtu_ = config.mtu != 0 ? static_cast<int>(config.mtu) : host_mtu(*host);
  for (Uplink& uplink : uplinks_) {
    // An instance of the linux engine has a network of its own, where the tap ends.
    if (auto done = link_up(*host, uplink, config.engine == "linux", *former); !done) return done;
  }
  if (wants_nat) {
    go_beyond_host();
  } else if (config.nat) {
    spdlog::warn(
        "this host has no default route, so there is no NAT: the device reaches the host only");
  } else {
    spdlog::info("NAT is off: only the host, and networks that route to it, are reached");
  }
  return {};
}

// Nothing is made and nothing is noted: the instances open sockets on the interface.
Result<void> DeviceNetwork::use_interface(const Config& config, Rtnetlink& host) {
  const auto interface = find_host_interface(config.interface);
  if (!interface) return std::unexpected(interface.error());
  mtu_ = config.mtu != 0 ? static_cast<int>(config.mtu) : interface->mtu;
  if (mtu_ > interface->mtu) {
    return error("uplink.mtu = " + std::to_string(mtu_) + ": interface " + interface->name +
                 " has " + std::to_string(interface->mtu) + "; choose that, or leave it out");
  }
  UplinkAddresses first = *config.uplink;
  if (first.guessed) {
    first.gateway = host.default_gateway(interface->index);
    if (!first.device.contains(first.gateway) || first.gateway == first.device.address)
      first.gateway = 0;
  }
  auto all = following_addresses(first, config.instances);
  if (!all) return std::unexpected(all.error());
  auto taken = host.ipv4_routes();
  if (!taken) return std::unexpected(taken.error());
  for (size_t i = 0; i < all->size(); i++) {
    const uint32_t address = (*all)[i].device.address;
    for (const Ipv4Net& net : *taken) {
      if (net.prefix != 32 || net.address != address) continue;
      return error("uplink address " + ipv4_text(address) +
                   " is one of this host's own; choose one that nobody has on the network of " +
                   interface->name);
    }
    uplinks_.push_back({(*all)[i], interface->name, "", instance_mac(*interface, dir_, i)});
  }
  if (first.gateway == 0) {
    spdlog::info("no gateway: only {} is reached (--gateway sets one)",
                 first.device.network_text());
  }
  return {};
}

Result<void> DeviceNetwork::choose_addresses(const Config& config, Rtnetlink& host) {
  auto taken = host.ipv4_routes();
  if (!taken) return std::unexpected(taken.error());
  for (int64_t i = 0; i < config.instances; i++) {
    Uplink uplink;
    // An interface name has at most 15 characters; the one from the directory has 13.
    uplink.link = dir_.host_link() + (i == 0 ? "" : std::string(1, static_cast<char>('a' + i)));
    if (i == 0 && config.uplink) {
      if (auto net = collision(config.uplink->device, *taken)) {
        return error("uplink address " + config.uplink->device.text() +
                     " collides with the route to " + net->network_text() +
                     " that this host has; choose another one, or \"auto\"");
      }
      uplink.addresses = *config.uplink;
    } else {
      auto chosen = choose_uplink(*taken);
      if (!chosen) return std::unexpected(chosen.error());
      uplink.addresses = *chosen;
    }
    taken->push_back(uplink.addresses.device);
    uplinks_.push_back(std::move(uplink));
  }
  return {};
}

// Notes the former value of ip_forward before it is changed. The note includes the boot, because
// sysctls do not outlive one.
Result<void> DeviceNetwork::note_former(const std::string& former) {
  Fd note(::open(dir_.remains_file().c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
                 0644));
  const std::string text = boot_id() + " " + former + "\n";
  if (!note.valid() || ::write(note.get(), text.data(), text.size()) < 0) {
    return errno_error(dir_.remains_file());
  }
  return {};
}

Result<void> DeviceNetwork::link_up(Rtnetlink& host, Uplink& uplink, bool is_tap,
                                    const std::string& former) {
  const std::string& name = uplink.link;
  auto existing = host.find_link(name);
  if (!existing) return std::unexpected(existing.error());
  if (existing->has_value()) {
    return error("an interface named " + name +
                 " exists and is not this device's; remove it "
                 "(ip link delete " +
                 name + ") or choose another --run-dir");
  }
  auto done = is_tap ? host.add_tap(name, mtu_) : host.add_veth(name, kDeviceLink, netns(), mtu_);
  if (!done) return done;
  auto link = host.find_link(name);
  if (!link) return std::unexpected(link.error());
  if (!link->has_value()) return error("interface " + name + " vanished");
  const int index = (*link)->index;
  done = host.set_alias(index, link_alias(dir_, former));
  if (done)
    done =
        host.add_address(index, bytes_of(uplink.addresses.gateway), uplink.addresses.device.prefix);
  if (done) done = host.set_up(index);
  if (!done) return done;
  if (!is_tap) return prepare_device(host, index);
  if (::access("/proc/sys/net/ipv6", F_OK) != 0) return {};
  if (auto ipv6 = add_host_ipv6(host, uplink, index); !ipv6) {
    spdlog::warn("the device has no IPv6 address: {}", ipv6.error().text);
    uplink.ipv6.clear();
  }
  return {};
}

Result<void> DeviceNetwork::prepare_device(Rtnetlink& host, int index) {
  // The network namespace decides about unprivileged ping and low ports. The device allows what the
  // host allows.
  constexpr const char* kPing = "/proc/sys/net/ipv4/ping_group_range";
  constexpr const char* kPorts = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  const auto ping = read_file(kPing), ports = read_file(kPorts);
  std::optional<Rtnetlink> device;
  auto done = in_network(netns(), [&]() -> Result<void> {
    copy_to_device(kPing, ping);
    copy_to_device(kPorts, ports);
    auto opened = Rtnetlink::open();
    if (!opened) return std::unexpected(opened.error());
    device.emplace(std::move(*opened));
    return {};
  });
  if (done) done = set_device_up(*device);
  if (!done) return done;
  auto far_end = device->find_link(kDeviceLink);
  if (!far_end) return std::unexpected(far_end.error());
  if (!far_end->has_value()) return error("the device's end of the uplink vanished");
  if (::access("/proc/sys/net/ipv6", F_OK) == 0) {
    if (auto ipv6 = add_ipv6(host, *device, index, (*far_end)->index); !ipv6) {
      spdlog::warn("the device has no IPv6 address: {}", ipv6.error().text);
      uplinks_[0].ipv6.clear();
    }
  }
  return {};
}

Result<void> DeviceNetwork::set_device_up(Rtnetlink& device) {
  for (const char* name : {"lo", kDeviceLink}) {
    auto link = device.find_link(name);
    if (!link) return std::unexpected(link.error());
    if (!link->has_value()) return error(std::string("the device has no interface ") + name);
    const int index = (*link)->index;
    if (name == kDeviceLink) {
      auto done =
          device.add_address(index, bytes_of(uplink().device.address), uplink().device.prefix);
      if (!done) return done;
    }
    if (auto done = device.set_up(index); !done) return done;
    if (name == kDeviceLink) {
      if (auto done = device.add_default_route(bytes_of(uplink().gateway), index); !done)
        return done;
    }
  }
  return {};
}

Result<void> DeviceNetwork::add_ipv6(Rtnetlink& host, Rtnetlink& device, int host_link,
                                     int device_link) {
  auto done = device.add_address(device_link, ipv6_bytes(uplink(), 2), 64);
  if (done) done = add_host_ipv6(host, uplinks_[0], host_link);
  if (!done || !forwards_ipv6_) return done;
  return device.add_default_route(ipv6_bytes(uplink(), 1), device_link);
}

Result<void> DeviceNetwork::add_host_ipv6(Rtnetlink& host, Uplink& uplink, int link) {
  if (auto done = host.add_address(link, ipv6_bytes(uplink.addresses, 1), 64); !done) return done;
  uplink.ipv6 = ipv6_text(ipv6_bytes(uplink.addresses, 2)) + "/64";
  // A default route that leads nowhere would make programs wait for IPv6 timeouts, so there is one
  // only where the host already forwards IPv6. mino does not switch forwarding on, because the host
  // would then ignore router advertisements.
  auto forwards = read_file("/proc/sys/net/ipv6/conf/all/forwarding");
  forwards_ipv6_ = forwards && trim(*forwards) == "1" && host.default_route_link(AF_INET6) != 0;
  if (!forwards_ipv6_) {
    spdlog::info(
        "IPv6 reaches the host only: it does not forward IPv6, or has no IPv6 default route");
  }
  return {};
}

namespace {

std::string digits(const std::array<uint8_t, 16>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

std::string DeviceNetwork::ipv6_digits(const Uplink& uplink) const {
  return uplink.ipv6.empty() ? "" : digits(ipv6_bytes(uplink.addresses, 2));
}

std::string DeviceNetwork::gateway6_digits(const Uplink& uplink) const {
  return forwards_ipv6_ ? digits(ipv6_bytes(uplink.addresses, 1)) : "";
}

void DeviceNetwork::go_beyond_host() {
  std::vector<std::string> ipv4, ipv6, links;
  for (const Uplink& uplink : uplinks_) {
    ipv4.push_back(uplink.addresses.device.network_text());
    if (forwards_ipv6_) ipv6.push_back(ipv6_text(ipv6_bytes(uplink.addresses, 0)) + "/64");
    links.push_back(uplink.link);
  }
  auto done = add_nat(dir_, links, ipv4, ipv6);
  if (done) done = Forwarding::enable();
  if (!done) {
    remove_nat(dir_);
    spdlog::warn(
        "no NAT, the device reaches the host only: {}{}", done.error().text,
        done.error().code == ENOENT ? " (install nftables, then `mino down` and `mino up`)" : "");
    return;
  }
  nat_ = true;
}

void DeviceNetwork::remove() {
  namespaces_ = {};
  remove_remains(dir_);
}

void DeviceNetwork::remove_remains(const RunDir& dir) {
  auto note = read_file(dir.remains_file());
  HostNetworkLock lock;
  auto host = Rtnetlink::open();
  if (!host) return spdlog::warn("{}", host.error().text);
  auto links = host->links();
  if (!links) spdlog::warn("{}", links.error().text);
  for (const Link& link : links.value_or(std::vector<Link>())) {
    if (!is_own_alias(link.alias, dir)) continue;
    if (auto done = host->delete_link(link.index); !done) spdlog::warn("{}", done.error().text);
  }
  if (!note) return;  // nothing else is changed before the note exists
  remove_nat(dir);
  const auto words = split(trim(*note), ' ');
  if (words.size() == 2 && words[0] == boot_id()) Forwarding::restore(*host, std::string(words[1]));
  ::unlink(dir.remains_file().c_str());
}

}  // namespace mino
