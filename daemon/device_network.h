// SPDX-License-Identifier: Apache-2.0
//
// The device's network as seen from the host: a network namespace, a veth pair as its uplink,
// addresses, routes, NAT. Used by minod's main(). Everything made here is undone by remove(), or,
// after a crash, by remove_remains(): each step is noted or has a name that derives from the run
// directory before it is taken.
#pragma once

#include <array>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/run_dir.h"
#include "daemon/address.h"
#include "daemon/config.h"
#include "daemon/namespaces.h"

namespace mino {

class Rtnetlink;

class DeviceNetwork {
 public:
  static Result<DeviceNetwork> make(const RunDir& dir, const Config& config);
  // What an earlier minod of this run directory left. The caller holds the directory's lock.
  static void remove_remains(const RunDir& dir);

  void remove();

  int netns() const { return namespaces_.network.get(); }
  int mount_ns() const { return namespaces_.mount.get(); }
  const UplinkAddresses& uplink() const { return uplink_; }
  const std::string& ipv6() const { return ipv6_; }  // "" where the kernel has no IPv6
  // The hexadecimal digits of the device's IPv6 address and, where it has a default route, gateway.
  std::string ipv6_digits() const;
  std::string gateway6_digits() const;
  int mtu() const { return mtu_; }
  bool nat() const { return nat_; }

 private:
  explicit DeviceNetwork(const RunDir& dir) : dir_(dir) {}
  Result<void> build(const Config& config);
  Result<void> prepare_device(Rtnetlink& host, int index);
  Result<void> link_up(Rtnetlink& host, const Config& config, const std::string& former);
  Result<void> set_device_up(Rtnetlink& device);
  Result<void> add_ipv6(Rtnetlink& host, Rtnetlink& device, int host_link, int device_link);
  Result<void> add_host_ipv6(Rtnetlink& host, int link);
  void go_beyond_host();

  RunDir dir_;
  Namespaces namespaces_;
  UplinkAddresses uplink_;
  std::string ipv6_;
  bool forwards_ipv6_ = false;
  int mtu_ = 0;
  bool nat_ = false;
};

}  // namespace mino
