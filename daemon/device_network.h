// SPDX-License-Identifier: Apache-2.0
//
// The network of the device as seen from the host: a network namespace, a veth pair as its uplink,
// addresses, routes, NAT. Or an interface of the host, and then nothing is made at all. Used by
// minod's main(). Everything made here is undone by remove() or, after a crash, by
// remove_remains(). So no step may be taken before it is noted, unless its name derives from the
// run directory.
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
  std::string link;               // the end on the host, or an interface of the host
  std::string ipv6;               // the device's address, "" where the host has no IPv6
  std::optional<MacAddress> mac;  // of the instance, on an interface of the host
};

class DeviceNetwork {
 public:
  static Result<DeviceNetwork> make(const RunDir& dir, const Config& config);
  // Removes what an earlier minod of this run directory left. The caller holds the directory's
  // lock.
  static void remove_remains(const RunDir& dir);

  void remove();

  int netns() const { return namespaces_.network.get(); }
  int mount_ns() const { return namespaces_.mount.get(); }
  // One uplink, or one for each instance of the linux engine.
  const std::vector<Uplink>& uplinks() const { return uplinks_; }
  const UplinkAddresses& uplink() const { return uplinks_[0].addresses; }
  // The hexadecimal digits of the device's IPv6 address and, if it has a default route, of the
  // gateway.
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
