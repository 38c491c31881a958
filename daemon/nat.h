// SPDX-License-Identifier: Apache-2.0
//
// How the device reaches what is beyond the host: masquerading in an nftables table of its own, and
// ip_forward. Used by daemon/device_network. Nothing on the host may be changed before it is noted;
// every change is undone at the end.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/run_dir.h"

namespace mino {

class Rtnetlink;

// Masquerades packets of `ipv4` (and `ipv6`, if not empty), networks like "10.213.0.0/30", as they
// leave the host. `links` are the uplinks that they come from.
Result<void> add_nat(const RunDir& dir, const std::vector<std::string>& links,
                     const std::vector<std::string>& ipv4, const std::vector<std::string>& ipv6);
void remove_nat(const RunDir& dir);

// net.ipv4.ip_forward is shared by all devices of a host. The first device notes the value that it
// found. Every device carries the note in the alias of its link. The last device to go writes the
// value back.
struct Forwarding {
  static constexpr const char* kUntouched =
      "-";  // the note of a device that leaves ip_forward alone
  // The value to restore at the end: what another device has noted, otherwise the current one.
  static Result<std::string> former(Rtnetlink& host, const RunDir& dir);
  static Result<void> enable();
  // Call this when the device's own link is gone.
  static void restore(Rtnetlink& host, const std::string& former);
};

// The alias of a device's link: whose link it is, and the note.
std::string link_alias(const RunDir& dir, const std::string& former_forwarding);
bool is_own_alias(const std::string& alias, const RunDir& dir);

}  // namespace mino
