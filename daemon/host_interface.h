// SPDX-License-Identifier: Apache-2.0
//
// An interface of the host's as the uplink of kernel instances: each has a packet socket on it
// (packet(7)) with an Ethernet address of its own, whose frames carry a virtio_net_hdr. Used by
// daemon/device_network and daemon/kernel_instance. The interface stays as it is: what a socket
// asks of it ends with the socket.
//
// Rejected: macvtap. It shares an interface as well, but must be made and removed, is not in every
// kernel, and takes frames one by one; UML's vector driver has no way to be handed one.
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

// Errors: there is none of that name (says which there are), it is not Ethernet, it is down.
Result<HostInterface> find_host_interface(const std::string& name);

// An instance's own: locally administered, the same at each start, another one for each device,
// instance and host.
MacAddress instance_mac(const HostInterface& interface, const RunDir& dir, size_t instance);

// Receives what is for `mac` or for many, without a VLAN tag; whoever has the socket cannot change
// that. What the host, or another such socket, sends on the interface is received too.
Result<Fd> open_packet_socket(const std::string& interface, const MacAddress& mac);
// To another interface of that name, when the one that it was on is gone.
Result<void> attach_packet_socket(const Fd& socket, const std::string& interface,
                                  const MacAddress& mac);

// Says in the log when an interface goes down, vanishes, comes back; `renew` is called for one that
// is another than before.
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
