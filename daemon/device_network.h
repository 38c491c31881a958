// SPDX-License-Identifier: Apache-2.0
//
// The device's network as seen from the host: a network namespace, a veth pair as its uplink,
// addresses, routes, NAT; or an interface of the host's, with nothing made at all. Used by minod's
// main(). Everything made here is undone by remove(), or, after a crash, by remove_remains(): each
// step is noted or has a name that derives from the run directory before it is taken.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/run_dir.h"
#include "daemon/address.h"
#include "daemon/config.h"
#include "daemon/host_interface.h"
#include "daemon/namespaces.h"

namespace mino {

class Rtnetlink;

// Where one kernel of the device meets the host.
struct Uplink {
  UplinkAddresses addresses;
  std::string link;               // the host's end, or its interface
  std::string ipv6;               // the device's address, "" where the host has no IPv6
  std::optional<MacAddress> mac;  // the instance's own on an interface of the host's
};

class DeviceNetwork {
 public:
  static Result<DeviceNetwork> make(const RunDir& dir, const Config& config);
  // What an earlier minod of this run directory left. The caller holds the directory's lock.
  static void remove_remains(const RunDir& dir);

  void remove();

  int netns() const { return namespaces_.network.get(); }
  int mount_ns() const { return namespaces_.mount.get(); }
  // One, or one for each instance of the linux engine.
  const std::vector<Uplink>& uplinks() const { return uplinks_; }
  const UplinkAddresses& uplink() const { return uplinks_[0].addresses; }
  // The hexadecimal digits of a device's IPv6 address and, where it has a default route, gateway.
  std::string ipv6_digits(const Uplink& uplink) const;
  std::string gateway6_digits(const Uplink& uplink) const;
  int mtu() const { return mtu_; }
  bool nat() const { return nat_; }

 private:
  explicit DeviceNetwork(const RunDir& dir) : dir_(dir) {}
  Result<void> build(const Config& config);
  Result<void> use_interface(const Config& config, Rtnetlink& host);
  Result<void> choose_addresses(const Config& config, Rtnetlink& host);
  Result<void> note_former(const std::string& former);
  Result<void> prepare_device(Rtnetlink& host, int index);
  Result<void> link_up(Rtnetlink& host, Uplink& uplink, bool is_tap, const std::string& former);
  Result<void> set_device_up(Rtnetlink& device);
  Result<void> add_ipv6(Rtnetlink& host, Rtnetlink& device, int host_link, int device_link);
  Result<void> add_host_ipv6(Rtnetlink& host, Uplink& uplink, int link);
  void go_beyond_host();

  RunDir dir_;
  Namespaces namespaces_;
  std::vector<Uplink> uplinks_;
  bool forwards_ipv6_ = false;
  int mtu_ = 0;
  bool nat_ = false;
};

}  // namespace mino
