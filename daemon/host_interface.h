// SPDX-License-Identifier: Apache-2.0
//
// An interface of the host as the uplink of kernel instances. Each instance has a packet socket on
// it (packet(7)) with an Ethernet address of its own; the frames carry a virtio_net_hdr. Used by
// daemon/device_network and daemon/kernel_instance. It must leave the interface as it is: whatever
// a socket asks of the interface ends with the socket.
//
// Rejected: macvtap. It can share an interface as well, but it must be made and removed, is not in
// every kernel, and takes frames one by one; and UML's vector driver cannot be handed one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/run_dir.h"
#include "daemon/event_loop.h"

namespace mino {

using MacAddress = std::array<uint8_t, 6>;
std::string mac_text(const MacAddress& mac);  // "02:00:00:00:00:01"

struct HostInterface {
  std::string name;
  int index = 0;
  int mtu = 0;
  MacAddress mac{};
};

// Errors: no interface of that name (the text says which there are), not Ethernet, or down.
Result<HostInterface> find_host_interface(const std::string& name);

// The instance's own address. It is locally administered, the same at each start, and different for
// each device, instance and host.
MacAddress instance_mac(const HostInterface& interface, const RunDir& dir, size_t instance);

// A socket that receives frames for `mac` and multicast, without a VLAN tag. Its holder cannot
// change that. It also receives what the host, or another such socket, sends on the interface.
Result<Fd> open_packet_socket(const std::string& interface, const MacAddress& mac);
// Moves the socket to another interface of that name, when the one that it was on is gone.
Result<void> attach_packet_socket(const Fd& socket, const std::string& interface,
                                  const MacAddress& mac);

// Logs when an interface goes down, vanishes or comes back. `renew` is called if it has come back
// as another interface.
class InterfaceWatch {
 public:
  InterfaceWatch(EventLoop& loop, const std::string& name, std::function<void()> renew);
  ~InterfaceWatch();
  InterfaceWatch(const InterfaceWatch&) = delete;
  InterfaceWatch& operator=(const InterfaceWatch&) = delete;

 private:
  void look();

  EventLoop& loop_;
  const std::string name_;
  const std::function<void()> renew_;
  Fd netlink_;
  int index_ = 0;
  bool usable_ = true;
};

}  // namespace mino
